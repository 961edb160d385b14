import type { Clock } from "../../../src/clock.ts";

interface Span {
  readonly fromMs: number;
  toMs: number;
}

/**
 * When things really happened, by the clock that does not jump: events, which carry the time of the wall clock only, and
 * troubles of the server's surroundings, in which it is excused for being late.
 */
export class Chronicle {
  readonly #clock: Clock;
  readonly #events = new Map<string, number>();
  readonly #troubles: Span[] = [];
  readonly #jumps: number[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An event is appended now; one with the same number that was lost in a crash is forgotten. */
  note(runId: string, sequence: bigint): void {
    this.#events.set(`${runId} ${sequence}`, this.#clock.monotonic());
  }

  /** When an event was appended. */
  timeOf(runId: string, sequence: bigint): number {
    const timeMs = this.#events.get(`${runId} ${sequence}`);
    if (timeMs === undefined) {
      throw new Error(`nobody has seen how event ${sequence} of run ${runId} was appended`);
    }
    return timeMs;
  }

  /** Trouble begins; the returned function ends it. */
  begin(): () => void {
    const span: Span = { fromMs: this.#clock.monotonic(), toMs: Number.POSITIVE_INFINITY };
    this.#troubles.push(span);
    return () => {
      span.toMs = this.#clock.monotonic();
    };
  }

  /** The wall clock is set forward or back now. */
  jump(): void {
    this.#jumps.push(this.#clock.monotonic());
  }

  /** Whether the wall clock was set between two moments. */
  hasJumped(fromMs: number, toMs: number): boolean {
    return this.#jumps.some((atMs) => atMs >= fromMs && atMs <= toMs);
  }

  /** Whether the wall clock has gone as it should between two moments, and so long before that all have noticed. */
  isSteady(fromMs: number, toMs: number): boolean {
    return this.#jumps.every((atMs) => atMs + noticedMs < fromMs || atMs > toMs);
  }

  /** Whether server and disk were well between two moments, and shortly before. */
  isCalm(fromMs: number, toMs: number): boolean {
    return this.#troubles.every((span) => span.toMs + aftermathMs < fromMs || span.fromMs > toMs);
  }
}

/** The scheduler looks at the wall clock again after 60 s at most. */
const noticedMs = 61_000;
/** A journal that has failed is tried again after 5 s at most. */
const aftermathMs = 6_000;
