import {
  type Failure,
  type Payload,
  type Run,
  type RunEvent,
  RunState,
  type RunStatistics,
} from "../../gen/retake/v1/run_pb.js";
import { RunView } from "../../gen/retake/v1/run_service_pb.js";
import { isTerminal, type RunHandle } from "../client/index.ts";
import type { Arguments } from "./arguments.ts";
import { UsageError } from "./cli-error.ts";
import type { Flags } from "./command.ts";
import type { Connection } from "./connection.ts";
import type { Contracts } from "./contracts.ts";
import { statisticsText } from "./display/event-text.ts";
import { failureDetails, failureText } from "./display/failure-text.ts";
import { plainText } from "./display/plain-text.ts";
import { ExitCode } from "./exit-code.ts";
import { type CliIo, writeLines } from "./io.ts";
import { type OutputFile, outputFlag } from "./output-file.ts";
import { barViewer, jsonViewer, lineViewer, quietViewer, type RunViewer } from "./run-viewers.ts";
import { showResult } from "./show-result.ts";

/** Of the commands that follow a run. */
export const followFlags: Flags = {
  quiet: { short: "q", description: "Print nothing but the result" },
  output: outputFlag,
};

export interface FollowOptions {
  readonly connection: Connection;
  readonly contracts: Contracts;
  readonly handle: RunHandle<unknown>;
  /** As it stands. */
  readonly run: Run;
  /** What is known already. */
  readonly afterSequence: bigint;
  readonly show: "json" | "quiet" | "everything";
  readonly outputs: readonly OutputFile[];
}

/** Shows a run up to its end, then its result or why there is none. An interruption leaves it running. */
export async function followRun(options: FollowOptions, io: CliIo): Promise<ExitCode> {
  const { handle, run, afterSequence } = options;
  if (isTerminal(run.state) && afterSequence >= run.lastSequence) {
    return showEnd(endOfRun(await handle.get({ view: RunView.FULL, signal: io.signal })), options, io);
  }
  let seen = afterSequence;
  let end: RunEnd | undefined;
  try {
    using viewer = viewerFor(options, io);
    const updates = handle.events({
      afterSequence,
      signal: io.signal,
      onReconnect: (reconnection) => viewer.lost(reconnection),
      onReconnected: () => viewer.found(),
    });
    for await (const update of updates) {
      await viewer.show(update);
      if (update.kind === "event") {
        seen = update.event.sequence;
        end = endOfEvent(update.event);
      }
    }
  } catch (error) {
    if (!io.signal.aborted) throw error;
  }
  return end === undefined ? tellInterruption(options, seen, io) : showEnd(end, options, io);
}

/** How a run ended. */
type RunEnd =
  | { readonly kind: "succeeded"; readonly result: Payload | undefined; readonly statistics: RunStatistics | undefined }
  | { readonly kind: "failed"; readonly failure: Failure | undefined }
  | { readonly kind: "cancelled"; readonly reason: string }
  | { readonly kind: "expired" };

function endOfEvent({ event }: RunEvent): RunEnd | undefined {
  switch (event.case) {
    case "succeeded":
      return { kind: "succeeded", result: event.value.result, statistics: event.value.statistics };
    case "failed":
      return { kind: "failed", failure: event.value.failure };
    case "cancelled":
      return { kind: "cancelled", reason: event.value.reason };
    case "expired":
      return { kind: "expired" };
    default:
      return undefined;
  }
}

function endOfRun({ state, result, statistics, failure, cancelReason }: Run): RunEnd {
  switch (state) {
    case RunState.SUCCEEDED:
      return { kind: "succeeded", result, statistics };
    case RunState.CANCELLED:
      return { kind: "cancelled", reason: cancelReason };
    case RunState.EXPIRED:
      return { kind: "expired" };
    default:
      return { kind: "failed", failure };
  }
}

function viewerFor({ show, run, contracts }: FollowOptions, io: CliIo): RunViewer {
  if (show === "json") return jsonViewer(contracts, io);
  if (show === "quiet") return quietViewer();
  return io.isTTY ? barViewer(run, io) : lineViewer(io);
}

async function showEnd(end: RunEnd, options: FollowOptions, io: CliIo): Promise<ExitCode> {
  const { handle, contracts, outputs, show, connection } = options;
  const rerun = connection.commandLine("runs", "rerun", handle.id, "--watch");
  const again = `Run it again: ${rerun}`;
  switch (end.kind) {
    case "succeeded":
      if (show === "everything" && io.isTTY) {
        writeLines(io.stdout, `Run ${handle.id} succeeded: ${statisticsText(end.statistics)}`);
      }
      // As JSON the result was part of the last event.
      if (show !== "json" || outputs.length > 0) await showResult(end.result, outputs, contracts, io);
      return ExitCode.ok;
    case "failed":
      tell(
        [
          `run ${handle.id} failed: ${failureText(end.failure)}`,
          ...(end.failure === undefined ? [] : failureDetails(end.failure)),
          end.failure?.retryable === false ? `Once its cause is mended, run it again: ${rerun}` : again,
        ],
        io,
      );
      return ExitCode.runFailed;
    case "cancelled":
      tell([`run ${handle.id} was cancelled${end.reason && `: ${plainText(end.reason)}`}`, again], io);
      return ExitCode.cancelled;
    case "expired":
      tell([`run ${handle.id} did not end before its deadline`, again], io);
      return ExitCode.cancelled;
  }
}

function tellInterruption({ connection, handle }: FollowOptions, seen: bigint, io: CliIo): ExitCode {
  tell(
    [
      `stopped watching; run ${handle.id} goes on`,
      `Watch it again: ${connection.commandLine("watch", handle.id, "--after", String(seen))}`,
      `Stop it:        ${connection.commandLine("runs", "cancel", handle.id)}`,
    ],
    io,
  );
  return ExitCode.interrupted;
}

function tell([first, ...more]: readonly string[], io: CliIo): void {
  writeLines(io.stderr, `retake: ${first}`, ...more.map((line) => `  ${line}`));
}

/** What the flags say is to be printed. */
export function whatToShow(given: Arguments): FollowOptions["show"] {
  if (given.has("json") && given.has("quiet")) throw new UsageError("--json and --quiet exclude each other");
  return given.has("json") ? "json" : given.has("quiet") ? "quiet" : "everything";
}
