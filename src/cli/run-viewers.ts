import { create } from "@bufbuild/protobuf";
import type { Run, RunEvent } from "../../gen/retake/v1/run_pb.js";
import { WatchRunResponseSchema } from "../../gen/retake/v1/run_service_pb.js";
import type { Reconnection, RunUpdate } from "../client/index.ts";
import type { Contracts } from "./contracts.ts";
import { connectionProblem } from "./display/connection-problem.ts";
import { eventText } from "./display/event-text.ts";
import { renderProgressLine } from "./display/progress-line.ts";
import { RunPicture } from "./display/run-picture.ts";
import { StatusLine } from "./display/status-line.ts";
import { showDuration, showTime, timestampMs } from "./display/times.ts";
import { showsUnicode } from "./display/unicode.ts";
import { type CliIo, writeLines } from "./io.ts";
import { messageJson } from "./message-json.ts";

/** Shows what happens to a run, in one of several ways. */
export interface RunViewer extends Disposable {
  show(update: RunUpdate): Promise<void> | void;
  /** The connection was lost and is about to be made anew. */
  lost(reconnection: Reconnection): void;
  /** The server is heard again. */
  found(): void;
}

/** Protobuf JSON, one update a line, progress included. */
export function jsonViewer(contracts: Contracts, io: CliIo): RunViewer {
  return {
    async show(update) {
      const message = create(WatchRunResponseSchema, {
        update:
          update.kind === "event"
            ? { case: "event", value: update.event }
            : { case: "progress", value: update.progress },
      });
      writeLines(io.stdout, JSON.stringify(await messageJson(WatchRunResponseSchema, message, contracts)));
    },
    lost: (reconnection) => tellLoss(reconnection, io),
    found: () => writeLines(io.stderr, "retake: connected again"),
    [Symbol.dispose]() {},
  };
}

/** Nothing: only the result counts. */
export function quietViewer(): RunViewer {
  return { show() {}, lost() {}, found() {}, [Symbol.dispose]() {} };
}

/** One line for each event. */
export function lineViewer(io: CliIo): RunViewer {
  return {
    show(update) {
      if (update.kind === "event") writeLines(io.stdout, eventLine(update.event));
    },
    lost: (reconnection) => tellLoss(reconnection, io),
    found: () => writeLines(io.stderr, "retake: connected again"),
    [Symbol.dispose]() {},
  };
}

/** A progress bar on a terminal; what is worth keeping stays above it. */
export function barViewer(run: Run, io: CliIo): RunViewer {
  const { clock } = io;
  const picture = new RunPicture(run, clock.now());
  const unicode = showsUnicode(io.env);
  let notice = "";
  const status = new StatusLine(io, (width) => renderProgressLine(picture.at(clock.now(), notice), width, unicode));
  return {
    show(update) {
      picture.apply(update, clock.now());
      if (update.kind === "event" && stays(update.event)) status.print(eventLine(update.event));
      else status.update();
    },
    lost({ error }) {
      notice = `connection lost, trying again: ${connectionProblem(error.rawMessage)}`;
      status.update();
    },
    found() {
      notice = "";
      status.update();
    },
    [Symbol.dispose]: () => status[Symbol.dispose](),
  };
}

/** `2026-11-22 10:02:13     3  attempt 1 started on in-process`. */
export function eventLine(event: RunEvent): string {
  const time = event.time === undefined ? "" : showTime(timestampMs(event.time));
  return `${time.padEnd(19)}  ${String(event.sequence).padStart(4)}  ${eventText(event)}`;
}

/** The bar shows what passes; the end is told behind it. */
const passing: ReadonlySet<RunEvent["event"]["case"]> = new Set([
  "accepted",
  "attemptStarted",
  "attemptCheckpoint",
  "progressSampled",
  "updateRecorded",
  "woken",
  "succeeded",
  "failed",
  "cancelled",
  "expired",
]);

function stays({ event }: RunEvent): boolean {
  return !passing.has(event.case);
}

function tellLoss({ error, delayMs }: Reconnection, io: CliIo): void {
  writeLines(
    io.stderr,
    `retake: connection lost (${connectionProblem(error.rawMessage)}); trying again in ${showDuration(delayMs)}`,
  );
}
