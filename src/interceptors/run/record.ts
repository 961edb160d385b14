import { type Message, toBinary } from "@bufbuild/protobuf";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import type { Clock, RandomSource } from "../../clock.ts";
import { type ContractRegistry, degrade, type Workflow } from "../../contract/index.ts";
import {
  classifyError,
  decodeCopy,
  digestOf,
  isLost,
  type Logger,
  type Payloads,
  payloadDigest,
  type RunInterceptor,
  type RunRequest,
} from "../../runs/index.ts";
import { runFields } from "../../trace-fields.ts";
import { mustStop, stopped } from "./must-stop.ts";

const noDigest = new Uint8Array();
const nothing: string[] = [];
/** What run.proto promises: messages within messages of their own kind have as many as their caller likes. */
const mostPaths = 50;

/** When an input that could not be read is read again. */
const patienceMs = 1_000;

export interface RecordOptions {
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
  /** What degraded inputs must still be valid by. */
  readonly contracts: Pick<ContractRegistry, "validator">;
  readonly payloads: Pick<Payloads, "digest">;
}

/**
 * Makes an attempt one: AttemptStarted is durable before the back-end is called, and the back-end gets an input that was
 * decoded for this attempt alone, and asks for no more than the attempt's quality does.
 */
export function record(options: RecordOptions): RunInterceptor {
  const { clock, random, contracts, payloads, log } = options;
  return (next) => async (request) => {
    const { run, workflow, turn, permit, quality } = request;
    let input: Uint8Array | undefined;
    let message: Message;
    let changedFields = nothing;
    let changedSha256: Uint8Array = noDigest;
    try {
      const bytes = turn.input();
      input = bytes instanceof Uint8Array ? bytes : await bytes;
      message = decodeCopy(workflow.input, input);
      if (quality !== undefined && workflow.inputQuality) {
        changedFields = degrade(workflow.input, message, quality, contracts.validator);
        if (changedFields.length > 0) {
          changedSha256 = digestOf(payloads, toBinary(workflow.input, message), workflow.sensitive);
        }
      }
    } catch (error) {
      if (input === undefined && !isLost(error)) {
        log.warn(
          { err: error, ...runFields(run.accepted) },
          "the input of a run cannot be read at the moment; it is tried again",
        );
        const reason = "its input cannot be read at the moment";
        return { kind: "blocked", gate: "storage", reason, notBeforeMs: clock.now() + patienceMs };
      }
      const { failure, unexpected } = classifyError(error, random, clock.now());
      if (unexpected) {
        const { referenceId } = failure;
        log.error(
          { err: error, ...runFields(run.accepted), referenceId },
          "a run's input cannot be given to its back-end",
        );
      }
      return { kind: "failed", failure };
    }
    if (turn.abortReason !== undefined) {
      return stopped("the attempt was stopped before its back-end was called");
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
          quality: quality ?? Quality.FULL,
          changedFields: changedFields.length > mostPaths ? changedFields.slice(0, mostPaths) : changedFields,
          inputSha256: changedSha256,
          policyRevision: workflow.policyRevision,
        },
      },
    ]);
    // It may have been cancelled while its start became durable.
    if (mustStop(request)) {
      return stopped("the attempt was stopped before its back-end was called");
    }
    turn.startAttemptClock();
    // Awaited here: a promise that is returned from here takes two more turns.
    return await next({
      ...request,
      message,
      attempt: {
        number,
        token,
        endpoint,
        quality: quality ?? Quality.FULL,
        inputSha256: changedFields.length > 0 ? changedSha256 : askedSha256(run, workflow, quality),
      },
    });
  };
}

/**
 * What an unchanged input asks for. Where its contract has no quality rules the back-end makes of the quality what it
 * will, so that is a part of it: a step of a full-size attempt is not that of a degraded one.
 */
function askedSha256({ accepted }: RunRequest["run"], { inputQuality }: Workflow, quality?: Quality): Uint8Array {
  const sha256 = accepted.input?.sha256 ?? noDigest;
  return quality === undefined || inputQuality ? sha256 : payloadDigest(Uint8Array.of(...sha256, quality));
}
