import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { type FallbackStarted, type RunEvent, RunState } from "../../gen/retake/v1/run_pb.js";
import { type RunProgress, RunProgressSchema } from "../../gen/retake/v1/run_service_pb.js";
import type { Clock } from "../clock.ts";
import { unknownRun } from "./errors.ts";
import { createError } from "./failure.ts";
import type { LiveRuns } from "./live-runs.ts";
import type { Feed } from "./ports/feed.ts";
import { type Journal, runStream } from "./ports/journal.ts";
import type { Payloads } from "./ports/payloads.ts";
import { RunTail } from "./run-tail.ts";
import { Understudy } from "./understudy.ts";

/** Something that a watcher sees. */
export type Sight =
  | { readonly kind: "event"; readonly event: RunEvent }
  | { readonly kind: "progress"; readonly progress: RunProgress }
  /** An update that is not journaled: the serialised response message. */
  | { readonly kind: "update"; readonly message: Uint8Array };

export interface WatchOptions {
  readonly journal: Journal;
  readonly feed: Feed;
  readonly live: LiveRuns;
  readonly payloads: Payloads;
  readonly clock: Clock;
  /** An update of a fallback as one of the workflow in whose place it works; undefined where that has nothing like it. */
  fallbackUpdate(workflow: string, fallback: FallbackStarted, message: Uint8Array): Uint8Array | undefined;
}

export interface WatchedRun {
  readonly runId: string;
  /** The event behind which it begins; 0 for the first. */
  readonly afterSequence: number;
  /** For whoever wants to see the updates of fallbacks too, as the run's own: the run's workflow. */
  readonly workflow?: string;
  /** It may not be in the journal yet. Default: then there is no such run. */
  readonly expected?: boolean;
}

/** An idle stream repeats the newest snapshot this often, so that nobody on the way takes it for dead. */
const repeatMs = 15_000;

const terminalKinds: ReadonlySet<string | undefined> = new Set(["succeeded", "failed", "cancelled", "expired"]);

/**
 * Shows runs to those who watch: the journal from any number on, then live, without a gap or a repeat. Events come from
 * the journal alone; hints only say when to look. A slow reader finds the newest progress and no heap of older ones.
 */
export class Watch {
  readonly #options: WatchOptions;
  readonly #tails = new Map<string, RunTail>();

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** How many runs are being watched. */
  get size(): number {
    return this.#tails.size;
  }

  /**
   * What happens to a run after an event, up to its end, and meanwhile the progress of the fallback that works in its
   * place.
   *
   * @throws ConnectError NOT_FOUND, or OUT_OF_RANGE for a number that the run has not reached
   */
  async *run(watched: WatchedRun, signal: AbortSignal): AsyncGenerator<Sight, void, undefined> {
    const { runId, afterSequence } = watched;
    const tail = this.#tail(runId);
    const glance = new Glance(this.#options.clock);
    const unlisten = tail.listen((hint) => {
      switch (hint.kind) {
        case "events":
          glance.look();
          break;
        case "progress":
          glance.progress = hint.progress;
          glance.look();
          break;
        case "update":
          glance.update = hint.message;
          glance.look();
          break;
      }
    });
    const onAbort = (): void => glance.look();
    signal.addEventListener("abort", onAbort, { once: true });
    let understudy: Understudy | undefined;
    const follow = (started: FallbackStarted): void => {
      understudy?.close();
      understudy = new Understudy(
        started.childRunId,
        (stopped) => this.#fallback(started, watched.workflow, AbortSignal.any([signal, stopped])),
        () => glance.look(),
      );
    };
    try {
      const last = watched.expected === true ? undefined : await this.#lastSeen(tail, runId, afterSequence);
      if (last !== undefined && terminalKinds.has(last.event.case)) {
        return;
      }
      const started = last && (await this.#fallbackAt(last, runId));
      if (started !== undefined) {
        follow(started);
      }
      let sequence = afterSequence;
      const joined = this.#options.live.get(runId);
      // What its own attempts said last is over where a fallback works, or it is told to stop.
      if (joined?.record.fallback === undefined && joined?.record.state !== RunState.CANCELLING) {
        glance.progress ??= joined?.latestProgress;
        glance.update ??= joined?.latestUpdate;
      }
      let snapshot: RunProgress | undefined;
      let caughtUp = false;
      while (!signal.aborted) {
        glance.seen();
        const events = await tail.after(sequence);
        for (const event of events) {
          if (signal.aborted) {
            return;
          }
          if (understudy !== undefined && endsFallback(event)) {
            if (watched.workflow !== undefined && (await this.#exists(understudy.runId))) {
              yield* understudy.rest();
            }
            understudy.close();
            understudy = undefined;
          }
          sequence = Number(event.sequence);
          if (event.event.case === "attemptStarted" || event.event.case === "fallbackStarted") {
            snapshot = undefined;
          } else if (event.event.case === "cancelRequested") {
            // What the attempt has said is over, and nothing more is heard of it.
            snapshot = undefined;
            glance.progress = undefined;
          } else if (event.event.case === "progressSampled") {
            snapshot = progressOf(event, sequence);
          }
          yield { kind: "event", event };
          if (event.event.case === "fallbackStarted") {
            follow(event.event.value);
          }
          if (terminalKinds.has(event.event.case)) {
            return;
          }
        }
        if (events.length > 0) {
          continue;
        }
        if (!caughtUp) {
          // Whoever joins sees at once how far the attempt is, if only by the journal's samples.
          caughtUp = true;
          glance.progress ??= snapshot;
        }
        const { progress, update } = glance;
        const shown = understudy?.take();
        if (shown?.kind === "progress") {
          snapshot = { ...shown.progress, lastSequence: BigInt(sequence) };
          yield { kind: "progress", progress: snapshot };
        } else if (shown !== undefined) {
          yield shown;
        } else if (progress !== undefined) {
          glance.progress = undefined;
          snapshot = progress;
          yield { kind: "progress", progress };
        } else if (update !== undefined) {
          glance.update = undefined;
          yield { kind: "update", message: update };
        } else if (!(await glance.wait(repeatMs)) && !signal.aborted) {
          tail.doubt();
          yield {
            kind: "progress",
            progress: { ...(snapshot ?? create(RunProgressSchema)), lastSequence: BigInt(sequence) },
          };
        }
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      understudy?.close();
      glance.close();
      unlisten();
      if (tail.watchers === 0) {
        tail.close();
        this.#tails.delete(runId);
      }
    }
  }

  #tail(runId: string): RunTail {
    let tail = this.#tails.get(runId);
    if (tail === undefined) {
      tail = new RunTail(runId, this.#options.journal, this.#options.feed);
      this.#tails.set(runId, tail);
    }
    return tail;
  }

  /** What a fallback shows, as if the run itself did that. */
  async *#fallback(
    fallback: FallbackStarted,
    workflow: string | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<Sight, void, undefined> {
    const { payloads } = this.#options;
    const { childRunId } = fallback;
    const updates = workflow === undefined ? {} : { workflow: fallback.workflow };
    for await (const sight of this.run({ runId: childRunId, afterSequence: 0, expected: true, ...updates }, signal)) {
      if (sight.kind === "progress") {
        const { progress } = sight;
        if (progress.progress !== undefined) {
          yield {
            kind: "progress",
            progress: { ...progress, fallbackRunId: progress.fallbackRunId || childRunId },
          };
        }
        continue;
      }
      if (workflow === undefined) {
        continue;
      }
      let message: Uint8Array | undefined;
      if (sight.kind === "update") {
        message = sight.message;
      } else if (sight.event.event.case === "updateRecorded") {
        message = await payloads.get(childRunId, sight.event.event.value.update?.sha256 ?? new Uint8Array());
      }
      const mapped = message && this.#options.fallbackUpdate(workflow, fallback, message);
      if (mapped !== undefined) {
        yield { kind: "update", message: mapped };
      }
    }
  }

  /** The fallback that works in a run's place when this event is its newest; what follows it is seen as it comes. */
  async #fallbackAt({ event }: RunEvent, runId: string): Promise<FallbackStarted | undefined> {
    switch (event.case) {
      case "fallbackStarted":
        return event.value;
      case "orphaned":
      case "rejoined": {
        // These say nothing of what the run does.
        const run = await this.#options.live.hold(runId);
        if (run === undefined) {
          return undefined;
        }
        this.#options.live.release(run);
        return run.record.fallback;
      }
      default:
        return undefined;
    }
  }

  async #exists(runId: string): Promise<boolean> {
    return (await this.#options.journal.read(runStream(runId), 0, 1)).length > 0;
  }

  /** The event that a watcher has seen last, if any. He may know no more than the run. */
  async #lastSeen(tail: RunTail, runId: string, sequence: number): Promise<RunEvent | undefined> {
    const [event] = await tail.after(Math.max(0, sequence - 1));
    if (event !== undefined) {
      return sequence > 0 ? event : undefined;
    }
    if (sequence <= 1 || (await tail.after(0)).length === 0) {
      throw unknownRun(runId);
    }
    throw createError(
      Code.OutOfRange,
      "SEQUENCE_OUT_OF_RANGE",
      `run ${runId} has no event ${sequence} yet: after_sequence is the number of the last event that you have seen`,
    );
  }
}

/** What a watcher has been told since it looked last: one slot each, so that being slow costs no memory. */
class Glance {
  progress: RunProgress | undefined;
  update: Uint8Array | undefined;
  readonly #clock: Clock;
  #pending = false;
  #wake: ((told: boolean) => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  look(): void {
    this.#pending = true;
    this.#wake?.(true);
  }

  seen(): void {
    this.#pending = false;
  }

  /** Whether there was something to see before the time was over. */
  wait(delayMs: number): Promise<boolean> {
    if (this.#pending) {
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const timer = this.#clock.setTimeout(() => this.#wake?.(false), delayMs);
      this.#wake = (told) => {
        timer.cancel();
        this.#wake = undefined;
        resolve(told);
      };
    });
  }

  close(): void {
    this.#wake?.(false);
  }
}

function endsFallback({ event }: RunEvent): boolean {
  return event.case === "fallbackEnded" || event.case === "succeeded";
}

function progressOf(event: RunEvent, sequence: number): RunProgress {
  const body = event.event;
  return create(RunProgressSchema, {
    lastSequence: BigInt(sequence),
    ...(body.case === "progressSampled"
      ? { attempt: body.value.attempt, ...(body.value.progress === undefined ? {} : { progress: body.value.progress }) }
      : {}),
  });
}
