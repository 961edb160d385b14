import { create } from "@bufbuild/protobuf";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import { SilenceSchema } from "../../../gen/retake/v1/alert_pb.js";
import type { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { createError, msFromDuration, msFromTimestamp, timestampFromMs } from "../../runs/index.ts";
import { ifStored } from "../if-stored.ts";
import type { MonitoringServiceOptions } from "../monitoring-service.ts";
import { ownerOf } from "../owner-of.ts";
import { assertStorable, watchedAlerts } from "./watched-alerts.ts";

type SilenceMethods = Pick<ServiceImpl<typeof MonitoringService>, "setSilence" | "expireSilence" | "listSilences">;

const mostSilences = 1_000;

/** What the contract allows a duration. */
const longestSilenceMs = 365 * 24 * 3_600_000;

/** What is not told for a time. */
export function silenceMethods({ alerts: opened, engine }: MonitoringServiceOptions): SilenceMethods {
  const { clock, random, journal } = engine;
  return {
    async setSilence({ silence: given, duration }, context) {
      const { silences, outbox } = await watchedAlerts(opened);
      assertStorable(journal);
      const nowMs = clock.now();
      const wanted = create(SilenceSchema, given ?? {});
      if (wanted.silenceId !== "" && silences.get(wanted.silenceId) === undefined)
        throw unknownSilence(wanted.silenceId);
      if (wanted.silenceId === "" && silences.list().length >= mostSilences) {
        throw createError(
          Code.ResourceExhausted,
          "TOO_MANY_SILENCES",
          `there are ${mostSilences} silences, those that ended in the last day among them: widen one, or wait`,
        );
      }
      const startMs = wanted.startTime === undefined ? nowMs : msFromTimestamp(wanted.startTime);
      const endMs = duration === undefined ? msFromTimestamp(wanted.endTime) : startMs + msFromDuration(duration);
      if (endMs <= Math.max(startMs, nowMs)) {
        throw createError(
          Code.InvalidArgument,
          "INVALID_SILENCE",
          "silence.end_time must be later than its start, and than now",
        );
      }
      if (endMs - startMs > longestSilenceMs) {
        throw createError(
          Code.InvalidArgument,
          "INVALID_SILENCE",
          "silence.end_time must be at most 365 days after its start: set it again then",
        );
      }
      const silence = create(SilenceSchema, {
        ...wanted,
        silenceId: wanted.silenceId || newId(random),
        startTime: timestampFromMs(startMs),
        endTime: timestampFromMs(endMs),
        createdBy: ownerOf(context).subject,
      });
      try {
        await ifStored(silences.set(silence));
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        throw createError(Code.InvalidArgument, "INVALID_SILENCE", `silence.matchers: ${error.message}`);
      }
      outbox.tick();
      return { silence };
    },

    async expireSilence({ silenceId }) {
      const { silences, outbox } = await watchedAlerts(opened);
      assertStorable(journal);
      const done = await ifStored(silences.expire(silenceId));
      const silence = silences.get(silenceId);
      if (!done || silence === undefined) throw unknownSilence(silenceId);
      outbox.tick();
      return { silence };
    },

    async listSilences() {
      return { silences: [...(await watchedAlerts(opened)).silences.list()] };
    },
  };
}

function newId(random: { fill(bytes: Uint8Array): void }): string {
  const bytes = new Uint8Array(8);
  random.fill(bytes);
  return Buffer.from(bytes).toString("hex");
}

function unknownSilence(silenceId: string) {
  return createError(
    Code.NotFound,
    "SILENCE_NOT_FOUND",
    `there is no silence ${silenceId}; those that there are are told by: retake alerts silences`,
  );
}
