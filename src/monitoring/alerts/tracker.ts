/**
 * How far one level of one alert is: the states of Prometheus's alerting rules, with a name of its own for the time in
 * which only `keep_firing_for` keeps it firing. Times are those of evaluations.
 */
export type TrackerState =
  | { readonly kind: "inactive" }
  /** Hit since `activeMs`, and not yet for as long as the rule wants. */
  | { readonly kind: "pending"; readonly activeMs: number }
  | { readonly kind: "firing"; readonly activeMs: number; readonly firedMs: number }
  /** Fires on although it is not hit since `missedMs`. */
  | { readonly kind: "recovering"; readonly activeMs: number; readonly firedMs: number; readonly missedMs: number }
  /** Was firing, and is told to be over for a while. */
  | { readonly kind: "resolved"; readonly activeMs: number; readonly firedMs: number; readonly resolvedMs: number };

export const inactive: TrackerState = { kind: "inactive" };

export interface TrackerTimes {
  /** How long it must be hit, at each evaluation, before it fires. */
  readonly forMs: number;
  /** How long it fires on once it is not hit any more. */
  readonly keepFiringForMs: number;
}

/** How long the end of an alert is told again, so that whoever was away hears of it (Prometheus: 15 minutes). */
export const resolvedRetentionMs = 15 * 60_000;

/** The state after an evaluation, by the rules of Prometheus (rules/alerting.go). */
export function track(state: TrackerState, hit: boolean, nowMs: number, times: TrackerTimes): TrackerState {
  return hit ? afterHit(state, nowMs, times.forMs) : afterMiss(state, nowMs, times.keepFiringForMs);
}

/** Whether people are to act. */
export function isFiring({ kind }: TrackerState): boolean {
  return kind === "firing" || kind === "recovering";
}

/** The newest of its times. */
export function newestMs(state: TrackerState): number {
  switch (state.kind) {
    case "inactive":
      return Number.NEGATIVE_INFINITY;
    case "pending":
      return state.activeMs;
    case "firing":
      return state.firedMs;
    case "recovering":
      return state.missedMs;
    case "resolved":
      return state.resolvedMs;
  }
}

/** The same, with every time moved. */
export function shiftTracker(state: TrackerState, byMs: number): TrackerState {
  switch (state.kind) {
    case "inactive":
      return state;
    case "pending":
      return { kind: "pending", activeMs: state.activeMs + byMs };
    case "firing":
      return { kind: "firing", activeMs: state.activeMs + byMs, firedMs: state.firedMs + byMs };
    case "recovering":
      return {
        kind: "recovering",
        activeMs: state.activeMs + byMs,
        firedMs: state.firedMs + byMs,
        missedMs: state.missedMs + byMs,
      };
    case "resolved":
      return {
        kind: "resolved",
        activeMs: state.activeMs + byMs,
        firedMs: state.firedMs + byMs,
        resolvedMs: state.resolvedMs + byMs,
      };
  }
}

function afterHit(state: TrackerState, nowMs: number, forMs: number): TrackerState {
  switch (state.kind) {
    case "firing":
      return state;
    case "recovering":
      return { kind: "firing", activeMs: state.activeMs, firedMs: state.firedMs };
    case "pending":
      return nowMs - state.activeMs >= forMs ? { kind: "firing", activeMs: state.activeMs, firedMs: nowMs } : state;
    default:
      return forMs <= 0 ? { kind: "firing", activeMs: nowMs, firedMs: nowMs } : { kind: "pending", activeMs: nowMs };
  }
}

function afterMiss(state: TrackerState, nowMs: number, keepFiringForMs: number): TrackerState {
  switch (state.kind) {
    case "firing":
    case "recovering": {
      const { activeMs, firedMs } = state;
      const missedMs = state.kind === "recovering" ? state.missedMs : nowMs;
      return nowMs - missedMs < keepFiringForMs
        ? { kind: "recovering", activeMs, firedMs, missedMs }
        : { kind: "resolved", activeMs, firedMs, resolvedMs: nowMs };
    }
    case "resolved":
      return nowMs - state.resolvedMs > resolvedRetentionMs ? inactive : state;
    default:
      return inactive;
  }
}
