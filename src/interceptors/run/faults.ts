import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { Code as CodeByName } from "../../../gen/google/rpc/code_pb.js";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import { FaultInjectedSchema } from "../../../gen/retake/v1/run_pb.js";
import type { Clock } from "../../clock.ts";
import {
  createFailure,
  type Drill,
  type FailureInit,
  type Faults,
  type Logger,
  msFromDuration,
  type Outcome,
  type RunHandler,
  type RunInterceptor,
  type RunRequest,
  restated,
} from "../../runs/index.ts";
import { runFields } from "../../trace-fields.ts";
import { abortedAnswer, heldAnswer } from "./disturbed-answer.ts";
import { mustStop } from "./must-stop.ts";
import { heldFor, until } from "./until.ts";

export interface FaultsStageOptions {
  readonly faults: Pick<Faults, "none" | "choose" | "spend" | "crash">;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Makes faults on purpose, where an operator asks for them: the innermost stage, so that all others take them for the
 * back-end's. An attempt that is hit says so in an event, before anything is done to it.
 */
export function faults(options: FaultsStageOptions): RunInterceptor {
  const drills = options.faults;
  return (next) => (request) => {
    const drill = drills.none ? undefined : drills.choose(request.workflow.name);
    return drill === undefined ? next(request) : hit(drill, request, next, options);
  };
}

async function hit(
  drill: Drill,
  request: RunRequest,
  next: RunHandler,
  { faults: drills, clock, log }: FaultsStageOptions,
): Promise<Outcome> {
  const { run, workflow, turn, attempt } = request;
  const { runId } = run.accepted;
  const number = attempt?.number ?? 0;
  const { effect } = drill.fault;
  const text = effectText(effect);
  if (effect.case === "crash") {
    const isFirst = await drills.spend(drill.id, runId).catch((error: unknown) => {
      log.error(
        { err: error, ...runFields(run.accepted, number), drill: drill.id },
        "a drill that ends the process cannot be ended itself: it does nothing",
      );
      return false;
    });
    if (!isFirst) {
      return next(request);
    }
  }
  const stopped = () => drillFailure(drill, text, { code: Code.Canceled, reason: "CANCELLED", retryable: false });
  if (mustStop(request)) {
    return stopped();
  }
  log.warn(
    { ...runFields(run.accepted, number), workflow: workflow.name, attempt: number, drill: drill.id, effect: text },
    "a drill hits an attempt",
  );
  await turn.commit([
    {
      case: "faultInjected",
      value: create(FaultInjectedSchema, { attempt: number, faultId: drill.id, effect: text }),
    },
  ]);
  if (mustStop(request)) {
    return stopped();
  }
  switch (effect.case) {
    case "delay":
      await heldFor(clock, msFromDuration(effect.value.duration), [turn.signal, drill.over]);
      return mustStop(request) ? stopped() : next(request);
    case "status": {
      const code = CodeByName[(effect.value.code || "UNAVAILABLE") as keyof typeof CodeByName] as number as Code;
      const message = effect.value.message === "" ? text : `${text}: ${effect.value.message}`;
      // No real back-end's reaches the run otherwise.
      return drillFailure(drill, message, { ...(restated(code) ?? { code }), reason: "DRILL_STATUS" });
    }
    case "abort":
      return next({ ...request, disturb: abortedAnswer(drill.id, effect.value.afterMessages) });
    case "stall":
      return next({ ...request, disturb: heldAnswer(effect.value.afterMessages, drill.over, turn) });
    case "outOfMemory":
      return drillFailure(drill, text, {
        code: Code.ResourceExhausted,
        reason: "DRILL_OUT_OF_MEMORY",
        category: FailureCategory.MEMORY,
      });
    case "crash":
      log.error({ ...runFields(run.accepted, number), drill: drill.id }, "a drill ends the process");
      drills.crash();
      // Only where the end of the process is played.
      await until([turn.signal]);
      return drillFailure(drill, text, { code: Code.Unavailable, reason: "DRILL_CRASH" });
    default:
      // Of a later version.
      return next(request);
  }
}

function drillFailure(drill: Drill, message: string, init: Omit<FailureInit, "message">): Outcome {
  return { kind: "failed", failure: createFailure({ ...init, message: `drill ${drill.id}: ${message}` }) };
}

function effectText(effect: Drill["fault"]["effect"]): string {
  switch (effect.case) {
    case "delay":
      return `delay of ${msFromDuration(effect.value.duration)} ms`;
    case "status":
      return `status ${effect.value.code || "UNAVAILABLE"}`;
    case "abort":
      return `abort after ${effect.value.afterMessages} messages`;
    case "stall":
      return `stall after ${effect.value.afterMessages} messages`;
    case "outOfMemory":
      return "out of memory";
    case "crash":
      return "crash of the process";
    default:
      return "something that this version does not know";
  }
}
