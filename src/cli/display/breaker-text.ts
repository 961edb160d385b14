import { type Breaker, type BreakerEvent, BreakerMode, BreakerState } from "../../../gen/retake/v1/breaker_pb.js";
import { plainText } from "./plain-text.ts";
import { showDistance, showTime, timestampMs } from "./times.ts";

/** `closed`, `open (forced)`. */
export function breakerStateText({ state, mode }: Breaker): string {
  const text = stateText(state);
  return mode === BreakerMode.AUTOMATIC ? text : `${text} (forced)`;
}

/** When something happens by itself: `trial in 12 s`, `automatic in 1 h 00 min`. */
export function breakerNextText({ state, mode, notBefore }: Breaker, nowMs: number): string {
  if (notBefore !== undefined) {
    const next = mode === BreakerMode.AUTOMATIC ? "trial" : "automatic";
    return `${next} ${showDistance(timestampMs(notBefore), nowMs)}`;
  }
  return state === BreakerState.HALF_OPEN ? "trial under way" : "";
}

/** A transition: `2026-11-22 10:02:13  opened: 3 of 3 attempts failed within 60 s`. */
export function transitionText({ time, event, reason, requestedBy }: BreakerEvent): string {
  const when = time === undefined ? "" : `${showTime(timestampMs(time))}  `;
  const by = requestedBy === "" ? "" : ` by ${plainText(requestedBy)}`;
  const until =
    event.case === "forced" && event.value.expireTime !== undefined
      ? ` until ${showTime(timestampMs(event.value.expireTime))}`
      : "";
  return `${when}${eventText(event)}${by}${until}${reason === "" ? "" : `: ${plainText(reason)}`}`;
}

function eventText(event: BreakerEvent["event"]): string {
  switch (event.case) {
    case "opened":
      return "opened";
    case "halfOpened":
      return "half-opened";
    case "closed":
      return "closed";
    case "forced":
      return `held ${stateText(event.value.state)}`;
    default:
      return "changed";
  }
}

function stateText(state: BreakerState): string {
  switch (state) {
    case BreakerState.CLOSED:
      return "closed";
    case BreakerState.OPEN:
      return "open";
    case BreakerState.HALF_OPEN:
      return "half-open";
    default:
      return "unknown";
  }
}
