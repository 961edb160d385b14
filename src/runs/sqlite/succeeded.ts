import type { RunState } from "../../../gen/retake/v1/run_pb.js";

/**
 * The first of the terminal states, by its number: the module that has it by name brings all of protobuf, which the
 * journal's thread uses for nothing else, and waits for twice as long as for the rest of its code.
 */
export const succeeded: RunState.SUCCEEDED = 7;
