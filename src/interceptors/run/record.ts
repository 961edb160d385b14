import { fromBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import type { Clock, RandomSource } from "../../clock.ts";
import { classifyError, createFailure, type Outcome, type RunInterceptor } from "../../runs/index.ts";

const noDigest = new Uint8Array();

/**
 * Makes an attempt one: AttemptStarted is durable before the back-end is called, and the back-end gets an input that was
 * decoded for this attempt alone.
 */
export function record(options: { readonly clock: Clock; readonly random: RandomSource }): RunInterceptor {
  const { clock, random } = options;
  return (next) => async (request) => {
    const { run, workflow, turn, permit } = request;
    let message: RunRequestMessage;
    try {
      const input = turn.input();
      message = fromBinary(workflow.input, input instanceof Uint8Array ? input : await input);
    } catch (error) {
      return { kind: "failed", failure: classifyError(error, random, clock.now()).failure };
    }
    if (turn.abortReason !== undefined) {
      return stopped();
    }
    const number = run.attempts + 1;
    // Unique, since a number is used once: an attempt whose start is not durable has called nobody.
    const token = `${run.accepted.runId}.${number}`;
    const endpoint = permit?.endpoint ?? "";
    await turn.commit([
      {
        case: "attemptStarted",
        value: {
          $typeName: "retake.v1.AttemptStarted",
          attempt: number,
          token,
          endpoint,
          quality: Quality.FULL,
          changedFields: [],
          inputSha256: noDigest,
          policyRevision: workflow.policyRevision,
        },
      },
    ]);
    // It may have been cancelled while its start became durable.
    if (turn.abortReason !== undefined || turn.concluded) {
      return stopped();
    }
    turn.startAttemptClock();
    // Awaited here: a promise that is returned from here takes two more turns.
    return await next({
      ...request,
      message,
      attempt: { number, token, endpoint, inputSha256: run.accepted.input?.sha256 ?? noDigest },
    });
  };
}

type RunRequestMessage = ReturnType<typeof fromBinary>;

/** The turn knows why, and says so in the run's end. */
function stopped(): Outcome {
  return {
    kind: "failed",
    failure: createFailure({
      code: Code.Canceled,
      reason: "CANCELLED",
      message: "the attempt was stopped before its back-end was called",
      retryable: false,
    }),
  };
}
