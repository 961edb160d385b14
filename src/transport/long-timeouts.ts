import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { IncomingHttpHeaders } from "node:http2";

/** grpc-js turns a timeout into a 32-bit number: above this (24.8 days) it wraps around and the call expires at once. */
const longestTimeoutMs = 2 ** 31 - 1;

const unitsMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** Where a timeout that grpc-js cannot take goes instead. The bridge reads it from the metadata. */
export const longTimeoutHeader = "x-long-grpc-timeout";

const channelName = "http2.server.stream.created";
let users = 0;

/**
 * Until the returned function is called, takes timeouts above 24.8 days away from grpc-js. Such a deadline is told to
 * the implementation, but kept by the caller alone: its cancellation is what ends the call. Node offers the headers of
 * a new stream ahead of its HTTP/2 servers only process-wide, so that is where this works.
 */
export function interceptLongTimeouts(): () => void {
  if (users++ === 0) {
    subscribe(channelName, onStreamCreated);
  }
  let active = true;
  return () => {
    if (active && --users === 0) {
      unsubscribe(channelName, onStreamCreated);
    }
    active = false;
  };
}

/** Milliseconds of a `grpc-timeout` value, or undefined when it is malformed. */
export function parseGrpcTimeout(value: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(value);
  const unitMs = unitsMs[match?.[2] ?? ""];
  return match === null || unitMs === undefined ? undefined : Number(match[1]) * unitMs;
}

function onStreamCreated(message: unknown): void {
  const { headers } = message as { headers: IncomingHttpHeaders };
  const timeout = headers["grpc-timeout"];
  if (typeof timeout === "string" && (parseGrpcTimeout(timeout) ?? 0) > longestTimeoutMs) {
    headers[longTimeoutHeader] = timeout;
    delete headers["grpc-timeout"];
  }
}
