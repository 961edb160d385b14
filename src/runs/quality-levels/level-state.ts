import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import type { QualityEvent } from "../../../gen/retake/v1/quality_event_pb.js";
import { QualityCause } from "../../../gen/retake/v1/quality_level_pb.js";
import { msFromTimestamp } from "../time.ts";

/** The quality of a workflow, as its stream in the journal tells it. Times are in ms since the epoch. */
export interface LevelState {
  readonly level: Quality;
  readonly cause: QualityCause;
  readonly reason: string;
  readonly setBy: string;
  /** When it came to this level; undefined for one that has always been FULL. */
  readonly sinceMs: number | undefined;
  /** What it is held at by an operator; FULL where nobody holds it. */
  readonly ceiling: Quality;
  /** When it is held no more; Infinity for never. */
  readonly heldUntilMs: number;
  /** Since when there is no trouble, as far as it is journaled. */
  readonly quietSinceMs: number;
  /** When it rose for the last time, if it has not been lowered since. */
  readonly raisedMs: number | undefined;
  /** How often in a row it has fallen back soon after it had risen. */
  readonly relapses: number;
}

export const fullLevel: LevelState = {
  level: Quality.FULL,
  cause: QualityCause.UNSPECIFIED,
  reason: "",
  setBy: "",
  sinceMs: undefined,
  ceiling: Quality.FULL,
  heldUntilMs: Number.POSITIVE_INFINITY,
  quietSinceMs: Number.NEGATIVE_INFINITY,
  raisedMs: undefined,
  relapses: 0,
};

/** More of them would keep a workflow down for the rest of the day, long after its trouble has gone. */
const mostRelapses = 3;

/** How long it must be quiet before the level rises. */
export function quietMs({ relapses }: LevelState, restoreAfterMs: number): number {
  return restoreAfterMs * 2 ** Math.min(relapses, mostRelapses);
}

/** The relapses that count if the level is lowered now: one that falls right after it has risen has risen too soon. */
export function relapsesAt(state: LevelState, nowMs: number, restoreAfterMs: number): number {
  if (state.raisedMs === undefined) return state.relapses;
  const soon = nowMs - state.raisedMs <= quietMs(state, restoreAfterMs);
  return soon ? Math.min(state.relapses + 1, mostRelapses) : 0;
}

/** What an event makes of a level. */
export function applyQualityEvent(state: LevelState, { time, event }: QualityEvent): LevelState {
  const timeMs = msFromTimestamp(time);
  switch (event.case) {
    case "set": {
      const { level, requestedBy, reason, expireTime } = event.value;
      return {
        ...fullLevel,
        level,
        cause: QualityCause.OPERATOR,
        reason,
        setBy: requestedBy,
        sinceMs: timeMs,
        ceiling: level,
        heldUntilMs: msOrNever(expireTime),
        quietSinceMs: timeMs,
      };
    }
    case "lowered": {
      const { level, cause, reason, relapses } = event.value;
      return {
        ...state,
        level,
        cause,
        reason,
        setBy: "",
        sinceMs: timeMs,
        quietSinceMs: timeMs,
        raisedMs: undefined,
        relapses,
      };
    }
    case "raised":
      return {
        ...state,
        level: event.value.level,
        cause: QualityCause.QUIET,
        reason: "",
        setBy: "",
        sinceMs: timeMs,
        quietSinceMs: timeMs,
        raisedMs: timeMs,
      };
    case "troubled":
      return { ...state, quietSinceMs: timeMs };
    case undefined:
      return state;
  }
}

/** The level once nobody holds it any more: it must be quiet from then on before it rises. */
export function released(state: LevelState): LevelState {
  return {
    ...state,
    ceiling: Quality.FULL,
    heldUntilMs: Number.POSITIVE_INFINITY,
    quietSinceMs: Math.max(state.quietSinceMs, state.heldUntilMs),
  };
}

function msOrNever(time: Timestamp | undefined): number {
  return time === undefined ? Number.POSITIVE_INFINITY : msFromTimestamp(time);
}
