import type { ServerHttp2Stream } from "node:http2";
import { Duplex } from "node:stream";
import { systemClock } from "../clock.ts";

/** What Node's streams consist of, which their types do not say. */
interface StreamParts {
  /** Listeners. */
  _events: object;
  _eventsCount: number;
  _readableState: object;
  _writableState: object;
  /** Headers and trailers that were sent. */
  [sent: symbol]: unknown;
}

const { _readableState, _writableState } = new Duplex().destroy() as Duplex & StreamParts;
/** Node's own symbols of what was sent, as far as they have been seen; where they are missing, it stays. */
const sent = new Set<symbol>();
const sentNames: ReadonlySet<string | undefined> = new Set(["raw-headers", "sent-headers", "sent-trailers"]);
/** Not every stream has all of them, and to look for them costs more than the rest: at the first ones, then at one in so many. */
const looksAtFirst = 256;
const looksOneIn = 64;
let forgotten = 0;
let closed: ServerHttp2Stream[] = [];

/**
 * Takes from a stream that has been closed what it knows: listeners, headers, trailers and the states of its two sides, in
 * whose place it has those of a stream that is destroyed. Node's HTTP/2 streams live until V8 collects old objects next, so
 * that all they know is copied twice by then: that was most of what it copies while everybody waits.
 */
export function forgetClosed(stream: ServerHttp2Stream): void {
  // Behind everybody else who hears of its end.
  if (closed.push(stream) === 1) systemClock.setImmediate(forgetAll);
}

function forgetAll(): void {
  const streams = closed;
  closed = [];
  for (const stream of streams) {
    const parts = stream as unknown as StreamParts;
    if (sent.size < sentNames.size && (forgotten < looksAtFirst || forgotten % looksOneIn === 0)) findSymbols(parts);
    forgotten++;
    for (const symbol of sent) {
      // What it does not have it is not to get.
      if (parts[symbol] !== undefined) parts[symbol] = undefined;
    }
    // One without a prototype is three times as large.
    parts._events = {};
    parts._eventsCount = 0;
    parts._readableState = _readableState;
    parts._writableState = _writableState;
  }
}

function findSymbols(parts: StreamParts): void {
  for (const symbol of Object.getOwnPropertySymbols(parts)) {
    if (sentNames.has(symbol.description)) sent.add(symbol);
  }
}
