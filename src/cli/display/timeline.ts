import type { Duration } from "@bufbuild/protobuf/wkt";
import { type RunEvent, RunState } from "../../../gen/retake/v1/run_pb.js";
import { failureText } from "./failure-text.ts";
import { plainText } from "./plain-text.ts";
import { fitText, padText, textWidth } from "./text-width.ts";
import { durationMs, showDuration, timestampMs } from "./times.ts";

/** Something that took time in a run. */
export interface TimelineRow {
  readonly label: string;
  /** Work is told from waiting. */
  readonly works: boolean;
  readonly startMs: number;
  /** Undefined while it goes on. */
  endMs: number | undefined;
  note: string;
}

/** What took time in a run: waits, attempts with their steps, children and fallbacks, in the order in which they began. */
export function timelineOf(events: readonly RunEvent[]): TimelineRow[] {
  const rows: TimelineRow[] = [];
  const children = new Map<string, TimelineRow>();
  let current: TimelineRow | undefined;
  const begin = (label: string, works: boolean, startMs: number, note = ""): TimelineRow => {
    const row: TimelineRow = { label, works, startMs, endMs: undefined, note };
    rows.push(row);
    return row;
  };
  /** A run does one thing at a time: the next begins where the last ends. */
  const turnTo = (label: string, works: boolean, nowMs: number, note = ""): void => {
    if (current !== undefined) current.endMs = nowMs;
    current = begin(label, works, nowMs, note);
  };
  for (const { event, time } of events) {
    const nowMs = time === undefined ? 0 : timestampMs(time);
    switch (event.case) {
      case "accepted":
      case "woken":
        turnTo("queued", false, nowMs);
        break;
      case "attemptStarted":
        turnTo(`attempt ${event.value.attempt}`, true, nowMs);
        break;
      case "attemptFailed":
        if (current !== undefined) current.note = failureText(event.value.failure);
        turnTo("queued", false, nowMs);
        break;
      case "retryScheduled":
        turnTo("backing off", false, nowMs);
        break;
      case "parked":
        turnTo("parked", false, nowMs, plainText(event.value.reason));
        break;
      case "fallbackStarted":
        turnTo("fallback", true, nowMs, event.value.workflow);
        break;
      case "fallbackEnded":
        if (current !== undefined) current.note += `: ${failureText(event.value.failure)}`;
        turnTo("queued", false, nowMs);
        break;
      case "cancelRequested":
        // The attempt goes on until it has stopped.
        if (current?.works !== true) turnTo("stopping", false, nowMs);
        break;
      case "stepCompleted": {
        const { name, executionTime, keptFrom } = event.value;
        const tookMs = keptFrom === "" ? durationOf(executionTime) : 0;
        const step = begin(`  step ${plainText(name)}`, true, Math.max(current?.startMs ?? 0, nowMs - tookMs));
        step.endMs = nowMs;
        step.note = keptFrom === "" ? "" : `kept from run ${keptFrom}`;
        break;
      }
      case "childStarted":
        children.set(
          event.value.name,
          begin(`  child ${plainText(event.value.name)}`, true, nowMs, `run ${event.value.childRunId}`),
        );
        break;
      case "childEnded": {
        const child = children.get(event.value.name);
        if (child !== undefined) {
          child.endMs = nowMs;
          child.note += ` ${RunState[event.value.state]}`;
        }
        break;
      }
      case "succeeded":
      case "failed":
      case "cancelled":
      case "expired":
        for (const row of rows) row.endMs ??= nowMs;
        break;
    }
  }
  // Passing through a state is no wait.
  return rows.filter(({ works, startMs, endMs }) => works || endMs === undefined || endMs - startMs >= 1);
}

export interface TimelineOptions {
  readonly nowMs: number;
  readonly width: number;
  readonly unicode: boolean;
}

const mostRows = 60;
const longestLabel = 28;
const longestBar = 40;
const shortestBar = 10;
const gap = "  ";

/** A line for each row: how long it took, where in the run that was, and what is to be said of it. */
export function timelineLines(rows: readonly TimelineRow[], { nowMs, width, unicode }: TimelineOptions): string[] {
  const startMs = Math.min(...rows.map((row) => row.startMs));
  const endMs = Math.max(...rows.map((row) => row.endMs ?? nowMs));
  const shown = rows.length <= mostRows ? rows : [...rows.slice(0, mostRows / 2), ...rows.slice(-mostRows / 2)];
  const took = (row: TimelineRow): string =>
    `${showDuration(Math.max(0, (row.endMs ?? nowMs) - row.startMs))}${row.endMs === undefined ? "+" : ""}`;
  const labelWidth = Math.min(longestLabel, Math.max(...shown.map(({ label }) => textWidth(label))));
  const tookWidth = Math.max(...shown.map((row) => textWidth(took(row))));
  const room = width - labelWidth - tookWidth - 2 * gap.length;
  const noteWidth = Math.max(0, ...shown.map(({ note }) => textWidth(note)));
  // The note goes behind the bar, and takes what the bar can spare.
  const barWidth = Math.max(shortestBar, Math.min(longestBar, room - Math.min(noteWidth + gap.length, room >> 1)));
  const lines = shown.map((row) => {
    const bar = drawBar(row, { startMs, endMs, nowMs, width: barWidth, unicode });
    const head = [
      padText(fitText(row.label, labelWidth), labelWidth),
      " ".repeat(tookWidth - textWidth(took(row))) + took(row),
      bar,
    ];
    const note = fitText(row.note, room - barWidth - gap.length);
    return [...head, note].join(gap).trimEnd();
  });
  if (rows.length > mostRows) lines.splice(mostRows / 2, 0, `… ${rows.length - mostRows} more …`);
  return lines;
}

interface Scale extends TimelineOptions {
  readonly startMs: number;
  readonly endMs: number;
}

function drawBar(row: TimelineRow, { startMs, endMs, nowMs, width, unicode }: Scale): string {
  const totalMs = Math.max(1, endMs - startMs);
  const column = (ms: number): number => ((ms - startMs) / totalMs) * width;
  const from = Math.min(width - 1, Math.floor(column(row.startMs)));
  const to = Math.max(from + 1, Math.min(width, Math.round(column(row.endMs ?? nowMs))));
  const ink = row.works ? (unicode ? "█" : "#") : unicode ? "░" : "-";
  return padText(" ".repeat(from) + ink.repeat(to - from), width);
}

function durationOf(duration: Duration | undefined): number {
  return duration === undefined ? 0 : durationMs(duration);
}
