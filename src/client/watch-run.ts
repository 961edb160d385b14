import { equals } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { createLinkedAbortController } from "@connectrpc/connect/protocol";
import type { RunEvent } from "../../gen/retake/v1/run_pb.js";
import {
  type RunProgress,
  RunProgressSchema,
  type RunService,
  type RunView,
  type WatchRunResponse,
} from "../../gen/retake/v1/run_service_pb.js";
import type { Clock, RandomSource } from "../clock.ts";
import { sleep } from "../sleep.ts";
import { errorFromAborted } from "./aborted.ts";
import { reconnectDelayMs } from "./backoff.ts";
import { retryAdvice } from "./retry-advice.ts";
import { isTerminal, isTerminalEvent, type TerminalEvent } from "./terminal.ts";

/** What happens to a run: an entry of its journal, or a snapshot of its progress between two of them. */
export type RunUpdate =
  | { readonly kind: "event"; readonly event: RunEvent }
  | { readonly kind: "progress"; readonly progress: RunProgress };

/** A connection was lost, and will be made anew. */
export interface Reconnection {
  /** What went wrong. */
  readonly error: ConnectError;
  /** 1 for the first try since something was last heard. */
  readonly attempt: number;
  /** How long it waits before it tries. */
  readonly delayMs: number;
}

/** What all watches of one client share. */
export interface WatchSettings {
  readonly runs: Client<typeof RunService>;
  readonly clock: Clock;
  readonly random: RandomSource;
  /** How long a server may be away before a watch gives up. */
  readonly reconnectForMs: number;
  /** Ends every watch. */
  readonly closed: AbortSignal;
}

export interface WatchRunOptions {
  readonly runId: string;
  readonly afterSequence: bigint;
  readonly view: RunView;
  readonly signal?: AbortSignal | undefined;
  readonly onReconnect?: ((reconnection: Reconnection) => void) | undefined;
  readonly onReconnected?: (() => void) | undefined;
}

/** What a stream ended with: the run's own end, which may have been known before, or too early. */
type StreamEnd =
  | { readonly kind: "run"; readonly event: TerminalEvent | undefined }
  | { readonly kind: "broken"; readonly error: ConnectError };

/** Servers repeat the newest snapshot every 15 s: after three times that in silence nobody is there any more. */
const silenceMs = 45_000;

/** Tries in a row, without a new event, after errors that may be a proxy's way of cutting a stream. */
const doubtfulTries = 3;

/**
 * Watches a run up to its end. A stream that breaks is resumed behind the last event that was seen, so each is yielded
 * once and in order; a snapshot that says nothing new is left out. Throws when the server's answer is final, when it has
 * been away for too long, and when it is aborted (Canceled). Returns the terminal event, which it has yielded
 * too; nothing when the watch began behind it.
 */
export async function* watchRun(
  settings: WatchSettings,
  options: WatchRunOptions,
): AsyncGenerator<RunUpdate, TerminalEvent | undefined, undefined> {
  const { clock, random, reconnectForMs } = settings;
  const stop = createLinkedAbortController(options.signal, settings.closed);
  let sequence = options.afterSequence;
  let snapshot: RunProgress | undefined;
  /** When the server was missed first since it was last heard. */
  let missedMs: number | undefined;
  let attempt = 0;
  let doubtful = 0;
  try {
    for (;;) {
      const end = yield* connection();
      if (end.kind === "run") return end.event;
      const broken = end.error;
      if (stop.signal.aborted) throw errorFromAborted(stop.signal);
      const delayMs = nextDelayMs(broken);
      options.onReconnect?.({ error: broken, attempt, delayMs });
      try {
        await sleep(clock, delayMs, stop.signal);
      } catch {
        throw errorFromAborted(stop.signal);
      }
    }
  } finally {
    stop.abort();
  }

  /** One stream, up to its end. */
  async function* connection(): AsyncGenerator<RunUpdate, StreamEnd, undefined> {
    const call = createLinkedAbortController(stop.signal);
    try {
      const { runId, view } = options;
      const messages = settings.runs.watchRun({ runId, view, afterSequence: sequence }, { signal: call.signal });
      for await (const { update } of unlessSilent(messages, call, clock)) {
        if (missedMs !== undefined) options.onReconnected?.();
        missedMs = undefined;
        attempt = 0;
        if (update.case === "event") {
          const event = update.value;
          if (event.sequence <= sequence) continue;
          if (event.sequence !== sequence + 1n) throw gap(runId, sequence, event.sequence);
          sequence = event.sequence;
          doubtful = 0;
          yield { kind: "event", event };
          if (isTerminalEvent(event)) return { kind: "run", event };
        } else if (update.case === "progress" && isNews(update.value, snapshot)) {
          snapshot = update.value;
          yield { kind: "progress", progress: snapshot };
        }
      }
      if (await hasEnded(call.signal)) return { kind: "run", event: undefined };
      const error = new ConnectError("the server ended the stream before the run had ended", Code.Unavailable);
      return { kind: "broken", error };
    } catch (reason) {
      return { kind: "broken", error: ConnectError.from(reason) };
    } finally {
      call.abort();
    }
  }

  /** Whether nothing more can come: a stream that begins behind the terminal event is empty. */
  async function hasEnded(signal: AbortSignal): Promise<boolean> {
    const { run } = await settings.runs.getRun({ runId: options.runId }, { signal, timeoutMs: silenceMs });
    return run !== undefined && isTerminal(run.state) && run.lastSequence <= sequence;
  }

  /** How long to wait before the next try; throws when there is no point in one. */
  function nextDelayMs(error: ConnectError): number {
    const advice = retryAdvice(error);
    const verdict = advice.kind === "never" ? "final" : verdictOn(error.code);
    if (verdict === "final") throw error;
    if (verdict === "doubtful" && doubtful++ === doubtfulTries) throw error;
    attempt++;
    const delayMs = Math.max(advice.kind === "after" ? advice.delayMs : 0, reconnectDelayMs(attempt, random));
    missedMs ??= clock.monotonic();
    const awayMs = clock.monotonic() - missedMs;
    if (awayMs + delayMs > reconnectForMs) throw attempt === 1 ? error : away(options.runId, awayMs, error);
    return delayMs;
  }
}

/**
 * What an error means for a stream that can be resumed without harm. A server that is killed is UNAVAILABLE, or CANCELLED
 * on connections that it closes by itself; INTERNAL and UNKNOWN come from a faulty server as well as from a proxy.
 */
function verdictOn(code: Code): "lost" | "doubtful" | "final" {
  switch (code) {
    case Code.Unavailable:
    case Code.Canceled:
    case Code.Aborted:
    case Code.DeadlineExceeded:
      return "lost";
    case Code.Internal:
    case Code.Unknown:
    case Code.ResourceExhausted:
      return "doubtful";
    default:
      return "final";
  }
}

/** Passes messages on, and aborts the call when none comes for too long. What a slow consumer takes does not count. */
async function* unlessSilent(
  messages: AsyncIterable<WatchRunResponse>,
  call: AbortController,
  clock: Clock,
): AsyncGenerator<WatchRunResponse, void, undefined> {
  const iterator = messages[Symbol.asyncIterator]();
  for (;;) {
    const timer = clock.setTimeout(() => {
      call.abort(new ConnectError(`nothing was heard of the server for ${silenceMs / 1000} s`, Code.Unavailable));
    }, silenceMs);
    try {
      const result = await iterator.next();
      if (result.done === true) return;
      timer.cancel();
      yield result.value;
    } finally {
      timer.cancel();
    }
  }
}

/** Idle streams repeat what is known, or nothing at all, to be seen alive. */
function isNews(next: RunProgress, last: RunProgress | undefined): boolean {
  if (next.progress === undefined) return false;
  return last === undefined || !equals(RunProgressSchema, { ...next, lastSequence: last.lastSequence }, last);
}

function gap(runId: string, known: bigint, next: bigint): ConnectError {
  return new ConnectError(`the journal of run ${runId} goes from event ${known} to ${next}`, Code.DataLoss);
}

function away(runId: string, awayMs: number, cause: ConnectError): ConnectError {
  return new ConnectError(
    `nothing was heard of run ${runId} for ${Math.round(awayMs / 1000)} s (${cause.rawMessage}); it may well go on: attach to it again`,
    cause.code,
    undefined,
    undefined,
    cause,
  );
}
