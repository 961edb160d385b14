import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { RunEvent } from "../../gen/retake/v1/run_pb.js";
import { type RunProgress, RunProgressSchema } from "../../gen/retake/v1/run_service_pb.js";
import type { Clock } from "../clock.ts";
import { unknownRun } from "./errors.ts";
import { createError } from "./failure.ts";
import type { LiveRuns } from "./live-runs.ts";
import type { Feed } from "./ports/feed.ts";
import type { Journal } from "./ports/journal.ts";
import { RunTail } from "./run-tail.ts";

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
  readonly clock: Clock;
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
   * What happens to a run after an event, up to its end.
   *
   * @throws ConnectError NOT_FOUND, or OUT_OF_RANGE for a number that the run has not reached
   */
  async *run(runId: string, afterSequence: number, signal: AbortSignal): AsyncGenerator<Sight, void, undefined> {
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
    try {
      if (await this.#endsAt(tail, runId, afterSequence)) {
        return;
      }
      let sequence = afterSequence;
      const joined = this.#options.live.get(runId);
      glance.progress ??= joined?.latestProgress;
      glance.update ??= joined?.latestUpdate;
      let snapshot: RunProgress | undefined;
      let caughtUp = false;
      while (!signal.aborted) {
        glance.seen();
        const events = await tail.after(sequence);
        for (const event of events) {
          if (signal.aborted) {
            return;
          }
          sequence = Number(event.sequence);
          if (event.event.case === "attemptStarted") {
            snapshot = undefined;
          } else if (event.event.case === "progressSampled") {
            snapshot = progressOf(event, sequence);
          }
          yield { kind: "event", event };
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
        if (progress !== undefined) {
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
            progress: create(RunProgressSchema, {
              attempt: snapshot?.attempt ?? 0,
              lastSequence: BigInt(sequence),
              ...(snapshot?.progress === undefined ? {} : { progress: snapshot.progress }),
            }),
          };
        }
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
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

  /** Whether the run has ended with that event. A watcher may know no more than the run. */
  async #endsAt(tail: RunTail, runId: string, sequence: number): Promise<boolean> {
    const [event] = await tail.after(Math.max(0, sequence - 1));
    if (event !== undefined) {
      return sequence > 0 && terminalKinds.has(event.event.case);
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

function progressOf(event: RunEvent, sequence: number): RunProgress {
  const body = event.event;
  return create(RunProgressSchema, {
    lastSequence: BigInt(sequence),
    ...(body.case === "progressSampled"
      ? { attempt: body.value.attempt, ...(body.value.progress === undefined ? {} : { progress: body.value.progress }) }
      : {}),
  });
}
