import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { type WorkflowEvent, WorkflowEventSchema } from "../../gen/retake/v1/workflow_event_pb.js";
import type { Clock } from "../clock.ts";
import { recordsOf, streamsNamed } from "./named-streams.ts";
import type { Journal } from "./ports/journal.ts";
import type { Scheduler } from "./ports/scheduler.ts";
import { runPages } from "./run-pages.ts";
import { msFromTimestamp, timestampFromMs } from "./time.ts";

/** A workflow makes no attempts for the time being. */
export interface Pause {
  readonly workflow: string;
  readonly pausedBy: string;
  readonly reason: string;
  readonly sinceMs: number;
}

export interface PausesOptions {
  readonly journal: Journal;
  readonly scheduler: Pick<Scheduler, "wake">;
  readonly clock: Clock;
}

const prefix = "pause/";

/**
 * The workflows that are paused, each with a stream of its own in the journal.
 *
 * 1. Nobody is told of a change, and no run goes by it, before it is durable.
 * 2. A run that is parked when its workflow is resumed is woken: by `resume` if that was appended before, else by the turn
 *    that parked it, which looks again.
 */
export class Pauses {
  readonly #options: PausesOptions;
  /** Workflows that go on, whose parked runs have not all been woken. */
  readonly #owed = new Set<string>();
  readonly #paused = new Map<string, Pause>();
  /** The runs that each paused workflow keeps from working; after a start those of them that have taken a turn. */
  readonly #kept = new Map<string, Set<string>>();
  /** The number of the newest record of each stream. */
  readonly #sequences = new Map<string, number>();
  /** Changes come one after the other. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(options: PausesOptions) {
    this.#options = options;
  }

  /** The pause of a workflow, if it is paused. */
  of(workflow: string): Pause | undefined {
    return this.#paused.size === 0 ? undefined : this.#paused.get(workflow);
  }

  /** Whether a run may not work because its workflow is paused. It counts among those that wait until it is withdrawn. */
  keeps(runId: string, workflow: string): boolean {
    if (this.of(workflow) === undefined) {
      return false;
    }
    const kept = this.#kept.get(workflow);
    if (kept === undefined) {
      this.#kept.set(workflow, new Set([runId]));
    } else {
      kept.add(runId);
    }
    return true;
  }

  /** How many runs wait for a workflow to be resumed. */
  waiting(workflow: string): number {
    return this.#kept.get(workflow)?.size ?? 0;
  }

  /** A run waits no more. */
  withdraw(runId: string): void {
    for (const kept of this.#kept.values()) {
      kept.delete(runId);
    }
  }

  /** Reads what earlier processes have left. */
  async open(): Promise<void> {
    for await (const stream of streamsNamed(this.#options.journal, prefix)) {
      await this.#read(stream);
    }
  }

  /**
   * Pauses a workflow; one that is paused stays so as it is.
   *
   * @throws JournalUnavailableError
   */
  pause(workflow: string, requestedBy: string, reason: string): Promise<Pause> {
    return this.#change(async () => {
      const known = this.#paused.get(workflow);
      if (known !== undefined) {
        return known;
      }
      const nowMs = this.#options.clock.now();
      await this.#append(workflow, nowMs, {
        case: "paused",
        value: { $typeName: "retake.v1.WorkflowPaused", requestedBy, reason },
      });
      const pause: Pause = { workflow, pausedBy: requestedBy, reason, sinceMs: nowMs };
      this.#paused.set(workflow, pause);
      return pause;
    });
  }

  /**
   * Lets a workflow go on; whether it was paused.
   *
   * @throws JournalUnavailableError
   */
  resume(workflow: string, requestedBy: string): Promise<boolean> {
    return this.#change(async () => {
      if (!this.#paused.has(workflow)) {
        if (!this.#owed.has(workflow)) {
          return false;
        }
        await this.#wakeOwed(workflow);
        return true;
      }
      await this.#append(workflow, this.#options.clock.now(), {
        case: "resumed",
        value: { $typeName: "retake.v1.WorkflowResumed", requestedBy },
      });
      this.#paused.delete(workflow);
      this.#kept.delete(workflow);
      this.#owed.add(workflow);
      await this.#wakeOwed(workflow);
      return true;
    });
  }

  /** Wakes what was parked; when that fails, calling again does it. */
  async #wakeOwed(workflow: string): Promise<void> {
    await this.#wakeParked(workflow);
    this.#owed.delete(workflow);
  }

  #change<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.#changing.then(change);
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  async #append(workflow: string, nowMs: number, event: WorkflowEvent["event"]): Promise<void> {
    const sequence = this.#sequences.get(workflow) ?? 0;
    const record = toBinary(WorkflowEventSchema, create(WorkflowEventSchema, { time: timestampFromMs(nowMs), event }));
    await this.#options.journal.append(
      [{ stream: `${prefix}${workflow}`, expectedSequence: sequence, records: [record] }],
      { impatient: true },
    );
    this.#sequences.set(workflow, sequence + 1);
  }

  async #wakeParked(workflow: string): Promise<void> {
    const { journal, scheduler } = this.#options;
    // What has been parked until now must be found.
    await journal.flush();
    const runIds: string[] = [];
    for await (const rows of runPages(journal, { workflow, states: [RunState.PARKED] })) {
      runIds.push(...rows.map(({ runId }) => runId));
    }
    // The oldest first: they stand in line in the order in which they ask.
    for (const runId of runIds.reverse()) {
      scheduler.wake(runId, 0);
    }
  }

  async #read(stream: string): Promise<void> {
    const workflow = stream.slice(prefix.length);
    let sequence = 0;
    for await (const record of recordsOf(this.#options.journal, stream)) {
      sequence = record.sequence;
      const { event, time } = fromBinary(WorkflowEventSchema, record.data);
      if (event.case === "paused") {
        const { requestedBy, reason } = event.value;
        this.#paused.set(workflow, { workflow, pausedBy: requestedBy, reason, sinceMs: msFromTimestamp(time) });
      } else {
        this.#paused.delete(workflow);
      }
    }
    this.#sequences.set(workflow, sequence);
  }
}

/** Why a run waits, in a sentence. */
export function pauseReason({ workflow, pausedBy, reason }: Pause): string {
  return `${workflow} is paused by ${pausedBy}${reason === "" ? "" : `: ${reason}`}`;
}
