import type { Quality } from "../../../gen/retake/v1/options_pb.js";

/** What a level makes of a field's value, as reflection has it; undefined unsets the field. FULL changes nothing. */
export type Lowering = (value: unknown, level: Quality) => unknown;
