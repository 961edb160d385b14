import { create } from "@bufbuild/protobuf";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import type { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { FaultSchema } from "../../../gen/retake/v1/fault_pb.js";
import {
  createError,
  JournalUnavailableError,
  journalUnavailable,
  longestFaultMs,
  msFromDuration,
  msFromTimestamp,
  timestampFromMs,
} from "../../runs/index.ts";
import { principalKey } from "../../security/index.ts";
import { callFields } from "../call-metadata.ts";
import type { Engine } from "../engine.ts";
import { assertForWorkflow, isForWorkflow } from "../limited-credentials.ts";
import { workflowNamed } from "../workflow-named.ts";

/** The drills. */
export function createFaultAdmin(
  engine: Engine,
): Pick<ServiceImpl<typeof AdminService>, "injectFault" | "listFaults" | "removeFault"> {
  const { faults, clock, log } = engine;
  return {
    listFaults(_, context) {
      return { faults: faults.list().filter(({ fault }) => isForWorkflow(context, fault?.workflow ?? "")) };
    },

    async injectFault({ fault: given, duration }, context) {
      const fault = create(FaultSchema, given);
      // A crash ends the runs of all workflows.
      assertForWorkflow(context, fault.effect.case === "crash" ? undefined : fault.workflow);
      workflowNamed(engine, fault.workflow);
      const nowMs = clock.now();
      const expireMs =
        duration === undefined ? msFromTimestamp(fault.expireTime) : nowMs + Math.ceil(msFromDuration(duration));
      if (expireMs <= nowMs || expireMs > nowMs + longestFaultMs) {
        throw createError(
          Code.InvalidArgument,
          "INVALID_EXPIRE_TIME",
          `fault.expire_time must be after now, ${new Date(nowMs).toISOString()} by the server's clock, and at most 7 days after it`,
        );
      }
      if (fault.effect.case === "crash" && !faults.canCrash) {
        throw createError(
          Code.FailedPrecondition,
          "CRASH_NOT_ALLOWED",
          "this server was not started for drills that end its process: start it with `retake serve --allow-crash-faults`",
        );
      }
      if (faults.isFull) {
        throw createError(
          Code.ResourceExhausted,
          "TOO_MANY_FAULTS",
          "there are too many drills already: remove some (RemoveFault), ListFaults tells which there are",
        );
      }
      fault.expireTime = timestampFromMs(expireMs);
      const { subject } = context.values.get(principalKey);
      const begun = await stored(faults.inject(fault, subject));
      log.warn(
        { drill: begun.faultId, workflow: fault.workflow, by: subject, ...callFields(context) },
        "a drill has begun",
      );
      return { fault: begun };
    },

    async removeFault({ faultId }, context) {
      const known = faults.list().find((each) => each.faultId === faultId);
      if (known !== undefined) assertForWorkflow(context, known.fault?.workflow);
      const { subject } = context.values.get(principalKey);
      const fault = await stored(faults.remove(faultId, subject));
      if (fault === undefined) {
        throw createError(
          Code.NotFound,
          "UNKNOWN_FAULT",
          `there is no drill ${JSON.stringify(faultId)}, or no more; ListFaults tells which there are`,
        );
      }
      log.info({ drill: faultId, by: subject, ...callFields(context) }, "a drill was ended");
      return { fault };
    },
  };
}

async function stored<T>(change: Promise<T>): Promise<T> {
  try {
    return await change;
  } catch (error) {
    throw error instanceof JournalUnavailableError ? journalUnavailable(error) : error;
  }
}
