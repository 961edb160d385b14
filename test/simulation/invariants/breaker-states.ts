import { type BreakerEvent, BreakerState } from "../../../gen/retake/v1/breaker_pb.js";
import type { Clock } from "../../../src/clock.ts";
import type { MethodName } from "../plan/plan.ts";

/** A breaker, as the newest entry of its stream tells of it. */
export interface KnownBreaker {
  readonly state: "closed" | "open" | "half-open";
  readonly isForced: boolean;
  readonly generation: bigint;
  /** Trials that have succeeded. */
  readonly successes: number;
  /** When it came to that; the start of the server where an earlier one has left it so. */
  readonly sinceMs: number;
  readonly isLeft: boolean;
}

/** The breakers of the server of the moment, told from outside: by their streams. */
export class BreakerStates {
  readonly #clock: Clock;
  readonly #known = new Map<MethodName, KnownBreaker>();
  #startedMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  starting(breakers: ReadonlyMap<MethodName, BreakerEvent>): void {
    this.#startedMs = this.#clock.monotonic();
    this.#known.clear();
    for (const [method, event] of breakers) {
      this.#known.set(method, { ...read(event), sinceMs: this.#startedMs, isLeft: true });
    }
  }

  transitioned(method: MethodName, event: BreakerEvent): void {
    this.#known.set(method, { ...read(event), sinceMs: this.#clock.monotonic(), isLeft: false });
  }

  tried(method: MethodName, event: BreakerEvent): void {
    this.#known.set(method, { ...this.of(method), successes: read(event).successes });
  }

  of(method: MethodName): KnownBreaker {
    const untouched = { state: "closed", isForced: false, generation: 0n, successes: 0, isLeft: true } as const;
    return this.#known.get(method) ?? { ...untouched, sinceMs: this.#startedMs };
  }
}

/** What an entry says, by itself. */
export function read({ generation, event }: BreakerEvent): Omit<KnownBreaker, "sinceMs" | "isLeft"> {
  const entry = { isForced: false, generation, successes: 0 };
  switch (event.case) {
    case "opened":
      return { ...entry, state: "open" };
    case "halfOpened":
      return { ...entry, state: "half-open", successes: event.value.successes };
    case "forced":
      return { ...entry, state: event.value.state === BreakerState.OPEN ? "open" : "closed", isForced: true };
    default:
      return { ...entry, state: "closed" };
  }
}
