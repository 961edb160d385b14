import { createValidator } from "@bufbuild/protovalidate";

/**
 * Validates messages of this project's own contracts, by the rules that stand in them. One for everybody: whoever makes a
 * validator compiles protovalidate's standard rules anew, some 150 expressions.
 */
export const ownValidator = createValidator();
