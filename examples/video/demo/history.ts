import type { RunEvent } from "retake/gen/retake/v1/run_pb.js";
import { eventText } from "../../../src/cli/display/event-text.ts";
import { tableLines } from "../../../src/cli/display/table.ts";
import { timestampMs } from "../../../src/cli/display/times.ts";

/** The events of a run as a table: their numbers, the time since the first, and what happened. */
export function historyLines(events: readonly RunEvent[], width: number): string[] {
  const startMs = timeOf(events[0]);
  const rows = events.map((event) => ({
    sequence: String(event.sequence),
    time: `${((timeOf(event) - startMs) / 1000).toFixed(2)} s`,
    text: eventText(event),
  }));
  const widest = (cells: readonly string[]) => Math.max(...cells.map((cell) => cell.length));
  const sequenceWidth = widest(["#", ...rows.map(({ sequence }) => sequence)]);
  const timeWidth = widest(["time", ...rows.map(({ time }) => time)]);
  return tableLines(
    [
      { title: "#".padStart(sequenceWidth), cell: ({ sequence }) => sequence.padStart(sequenceWidth) },
      { title: "time".padStart(timeWidth), cell: ({ time }) => time.padStart(timeWidth) },
      { title: "event", cell: ({ text }) => text, keep: "start" },
    ],
    rows,
    width,
  );
}

function timeOf(event: RunEvent | undefined): number {
  return event?.time === undefined ? 0 : timestampMs(event.time);
}
