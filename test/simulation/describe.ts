import { type RunEvent, RunEventSchema } from "../../gen/retake/v1/run_pb.js";
import type { History } from "./world/history.ts";
import { messageJson } from "./world/message-json.ts";

/** What happened to each run, one event a line. */
export function describeHistory(history: History): string[] {
  return [...history.values()].flatMap(({ runId, method, events }) => [
    `run ${runId} (${method})`,
    ...events.map((event) => `  ${event.sequence} ${describeEvent(event)}`),
  ]);
}

function describeEvent(event: RunEvent): string {
  const { time, sequence, ...body } = messageJson(RunEventSchema, event);
  const clock = String(time).slice("2026-01-01T".length);
  return `${clock} ${JSON.stringify(body)}`;
}
