import { createHash } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type ActiveFault,
  ActiveFaultSchema,
  type Fault,
  type FaultEvent,
  FaultEventSchema,
  FaultSchema,
} from "../../gen/retake/v1/fault_pb.js";
import type { Clock, RandomSource, Timer } from "../clock.ts";
import type { Logger } from "./logger.ts";
import { recordsOf } from "./named-streams.ts";
import type { Journal } from "./ports/journal.ts";
import { newRunId } from "./run-id.ts";
import { msFromTimestamp, timestampFromMs } from "./time.ts";

/** A fault that is made on purpose, for a while. */
export interface Drill {
  readonly id: string;
  readonly fault: Fault;
  /** Aborted when it is over. */
  readonly over: AbortSignal;
}

export interface FaultsOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
  /** Ends the process at once; absent where that is not allowed. */
  readonly crash?: (() => void) | undefined;
}

/** A drill has an end that those who begin it live to see. */
export const longestFaultMs = 7 * 24 * 3_600_000;
const mostInjected = 100;

const stream = "faults";

interface OpenDrill extends Drill {
  readonly told: ActiveFault;
  readonly isConfigured: boolean;
  readonly expireMs: number;
  readonly ended: AbortController;
  readonly timer: Timer;
}

/**
 * The drills that go on: those of the configuration, and those that were begun by calls, which have a stream in the
 * journal.
 *
 * 1. A drill is durable before it hits anybody, and its end before anybody is told of it.
 * 2. One that ends the process is durably over before it does, so that no process is ended by it twice.
 */
export class Faults {
  /** Whether there are none: what every attempt asks. */
  none = true;
  readonly #options: FaultsOptions;
  readonly #drills = new Map<string, OpenDrill>();
  /** Those that have been removed, or have done what they do once: the configuration may name them still. */
  readonly #gone = new Set<string>();
  #sequence = 0;
  /** Changes come one after the other. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(options: FaultsOptions) {
    this.#options = options;
  }

  /** Reads what earlier processes have left, and begins what the configuration says. */
  async open(configured: readonly Fault[]): Promise<void> {
    for await (const { sequence, data } of recordsOf(this.#options.journal, stream, this.#sequence)) {
      this.#sequence = sequence;
      const { event } = fromBinary(FaultEventSchema, data);
      if (event.case === "injected") {
        this.#begin(event.value, false);
      } else if (event.case !== undefined) {
        this.#gone.add(event.value.faultId);
        this.#end(event.value.faultId);
      }
    }
    this.configure(configured);
    for (const { told } of this.#drills.values()) {
      this.#options.log.warn({ drill: told.faultId, workflow: told.fault?.workflow }, "a drill goes on");
    }
  }

  /** From now on these are the drills of the configuration. Those that stay go on. */
  configure(configured: readonly Fault[]): void {
    const wanted = new Map(configured.map((fault) => [configuredId(fault), fault] as const));
    for (const { id, isConfigured } of [...this.#drills.values()]) {
      if (isConfigured && !wanted.has(id)) {
        this.#end(id);
      }
    }
    for (const [faultId, fault] of wanted) {
      if (!this.#drills.has(faultId) && !this.#gone.has(faultId)) {
        const injectTime = timestampFromMs(this.#options.clock.now());
        this.#begin(create(ActiveFaultSchema, { faultId, fault, injectTime }), true);
      }
    }
  }

  /** The drill that hits an attempt, if one does. */
  choose(workflow: string): Drill | undefined {
    const { random, clock, crash } = this.#options;
    for (const drill of this.#drills.values()) {
      const { fault, told, expireMs } = drill;
      // The wall clock may have been set since the timer was.
      if (fault.workflow !== workflow || expireMs <= clock.now()) {
        continue;
      }
      if (fault.effect.case === "crash" && crash === undefined) {
        continue;
      }
      if (random.next() * 100 < (fault.percentage ?? 100)) {
        told.hits += 1n;
        return drill;
      }
    }
    return undefined;
  }

  /** Those that were begun first come first. */
  list(): readonly ActiveFault[] {
    return [...this.#drills.values()].map(({ told }) => told);
  }

  get canCrash(): boolean {
    return this.#options.crash !== undefined;
  }

  /** Whether no more can be begun. */
  get isFull(): boolean {
    return [...this.#drills.values()].filter(({ isConfigured }) => !isConfigured).length >= mostInjected;
  }

  /** Begins a drill. @throws JournalUnavailableError */
  inject(fault: Fault, injectedBy: string): Promise<ActiveFault> {
    return this.#change(async () => {
      const { clock, random } = this.#options;
      const nowMs = clock.now();
      const told = create(ActiveFaultSchema, {
        faultId: newRunId(nowMs, random),
        fault,
        injectedBy,
        injectTime: timestampFromMs(nowMs),
      });
      await this.#append({ case: "injected", value: told });
      this.#begin(told, false);
      return told;
    });
  }

  /** Ends a drill; undefined when there is none by that id. @throws JournalUnavailableError */
  remove(faultId: string, requestedBy: string): Promise<ActiveFault | undefined> {
    return this.#change(async () => {
      const drill = this.#drills.get(faultId);
      if (drill === undefined) {
        return undefined;
      }
      await this.#append({ case: "removed", value: { $typeName: "retake.v1.FaultRemoved", faultId, requestedBy } });
      this.#gone.add(faultId);
      this.#end(faultId);
      return drill.told;
    });
  }

  /** Sees that a drill hits nobody else, here or in the next process; whether it was there still. */
  spend(faultId: string, runId: string): Promise<boolean> {
    return this.#change(async () => {
      if (!this.#drills.has(faultId)) {
        return false;
      }
      await this.#append({ case: "spent", value: { $typeName: "retake.v1.FaultSpent", faultId, runId } });
      this.#gone.add(faultId);
      this.#end(faultId);
      return true;
    });
  }

  crash(): void {
    this.#options.crash?.();
  }

  close(): void {
    for (const { timer } of this.#drills.values()) {
      timer.cancel();
    }
  }

  #begin(told: ActiveFault, isConfigured: boolean): void {
    const { clock, log } = this.#options;
    const { faultId: id, fault } = told;
    const expireMs = msFromTimestamp(fault?.expireTime);
    const leftMs = expireMs - clock.now();
    if (fault === undefined || leftMs <= 0) {
      return;
    }
    const ended = new AbortController();
    const timer = clock.setTimeout(() => {
      log.info({ drill: id, workflow: fault.workflow }, "a drill is over: its time has passed");
      this.#end(id);
    }, leftMs);
    this.#drills.set(id, { id, fault, over: ended.signal, told, isConfigured, expireMs, ended, timer });
    this.none = false;
  }

  #end(faultId: string): void {
    const drill = this.#drills.get(faultId);
    if (drill !== undefined) {
      this.#drills.delete(faultId);
      this.none = this.#drills.size === 0;
      drill.timer.cancel();
      drill.ended.abort();
    }
  }

  #change<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.#changing.then(change);
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  async #append(event: FaultEvent["event"]): Promise<void> {
    const { journal, clock } = this.#options;
    const record = create(FaultEventSchema, { time: timestampFromMs(clock.now()), event });
    await journal.append(
      [{ stream, expectedSequence: this.#sequence, records: [toBinary(FaultEventSchema, record)] }],
      { impatient: true },
    );
    this.#sequence += 1;
  }
}

/** The same for the same words: a drill that was ended stays so, however often the configuration is read. */
function configuredId(fault: Fault): string {
  return `config-${createHash("sha256").update(toBinary(FaultSchema, fault)).digest("hex").slice(0, 16)}`;
}
