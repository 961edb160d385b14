import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

// Literals, here and where events are made: `create` costs several times as much, and a run makes a dozen messages.

/** Milliseconds since the epoch as a Timestamp, to the microsecond. */
export function timestampFromMs(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1000);
  return {
    $typeName: "google.protobuf.Timestamp",
    seconds: BigInt(seconds),
    nanos: Math.floor((ms - seconds * 1000) * 1000) * 1000,
  };
}

/** What is left of a time when a Timestamp has carried it, without making one. */
export function eventTimeMs(ms: number): number {
  if (Number.isInteger(ms)) {
    return ms;
  }
  const seconds = Math.floor(ms / 1000);
  return seconds * 1000 + (Math.floor((ms - seconds * 1000) * 1000) * 1000) / 1e6;
}

/** A Timestamp as milliseconds since the epoch; 0 for none. */
export function msFromTimestamp(timestamp: Timestamp | undefined): number {
  return timestamp === undefined ? 0 : Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6;
}

/** Milliseconds as a Duration, to the nanosecond. Negative ones become 0: nothing here takes less than no time. */
export function durationFromMs(ms: number): Duration {
  const positive = Math.max(0, ms);
  const seconds = Math.floor(positive / 1000);
  return {
    $typeName: "google.protobuf.Duration",
    seconds: BigInt(seconds),
    nanos: Math.floor((positive - seconds * 1000) * 1e6),
  };
}

/** A Duration as milliseconds; 0 for none. */
export function msFromDuration(duration: Duration | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}
