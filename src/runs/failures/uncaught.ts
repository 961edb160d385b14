import { Code } from "@connectrpc/connect";
import type { Failure } from "../../../gen/retake/v1/run_pb.js";
import type { RandomSource } from "../../clock.ts";
import { createFailure } from "../failure.ts";
import { newRunId } from "../run-id.ts";
import { classifyError } from "./classify.ts";

/** What an attempt has failed with that left an error to nobody. Whatever that is, the handler needs mending: INTERNAL. */
export function uncaughtFailure(error: unknown, random: RandomSource, nowMs: number): Failure {
  const { causes, referenceId } = classifyError(error, random, nowMs).failure;
  const failure = createFailure({
    code: Code.Internal,
    reason: "UNCAUGHT_ERROR",
    message: "",
    referenceId: referenceId || newRunId(nowMs, random),
  });
  failure.message = `the workflow's handler left an error to nobody: await every promise, and catch what timers and listeners throw; the server's log has it under reference ${failure.referenceId}`;
  failure.causes = causes;
  return failure;
}
