import { fromBinary } from "@bufbuild/protobuf";
import { BreakerEventSchema } from "../../../gen/retake/v1/breaker_pb.js";
import type { RunEvent } from "../../../gen/retake/v1/run_pb.js";
import type { Clock, RandomSource } from "../../../src/clock.ts";
import { decodeEvent } from "../../../src/runs/events.ts";
import { JournalUnavailableError, type StreamAppend } from "../../../src/runs/ports/journal.ts";
import { msFromTimestamp } from "../../../src/runs/time.ts";
import type { Storage } from "../../../src/server/index.ts";
import { createSeededRandom } from "../../../src/testing/seeded-random.ts";
import type { FaultPlan } from "../plan/fault-plan.ts";
import type { Plan } from "../plan/plan.ts";
import { Chronicle } from "./chronicle.ts";
import { breakerPrefix, Disk, workflowOfStream } from "./disk.ts";
import { methodOf } from "./history.ts";
import { Remotes } from "./remotes.ts";
import { SeededClock } from "./seeded-clock.ts";
import { ServerProcess } from "./server-process.ts";
import { slowStorage } from "./slow-storage.ts";
import { type Invariant, type RecoverySight, Violation, type Witness } from "./witness.ts";

/** What has gone wrong. */
export interface Finding {
  readonly invariant: string;
  readonly message: string;
}

/** Longer than any deadline, and what a clock that is set back adds to it. */
const patienceMs = 3_600_000;
const lookMs = 5_000;
/** How long it takes to start a server again that has ended itself. */
const crashedMs = 3_000;

const terminalKinds: ReadonlySet<string> = new Set(["succeeded", "failed", "cancelled", "expired"]);

/** The surroundings that never die: callers, watchers, those who stop and start servers. */
const outside = { isAlive: true };

/** Everything around the server: its clock, its disk, those who use it, and those who watch over what holds. */
export class World {
  readonly plan: Plan;
  readonly time: SeededClock;
  /** The clock of those who are outside of the server. */
  readonly clock: Clock;
  readonly disk: Disk;
  readonly chronicle: Chronicle;
  readonly remotes: Remotes;
  readonly #random: RandomSource;
  readonly #witnesses: readonly { readonly name: string; readonly witness: Witness }[];
  readonly #runIds = new Map<string, string>();
  readonly #executions = new Map<string, number>();
  /** By the wall clock. */
  readonly #deadlines = new Map<string, number>();
  /** When the callers have left who have started runs, by their traceparent. */
  readonly #leaves = new Map<string, number>();
  #traces = 0;
  #process: ServerProcess | undefined;
  #processes = 0;
  #finding: Finding | undefined;
  /** How many appends to runs have been ordered, and how many to those that have to do with others. */
  #appends = 0;
  #ofFamilies = 0;
  /** The streams of runs that have a parent, a child or a fallback. */
  readonly #families = new Set<string>();
  /** From here on the journal takes every append that it can. */
  #takesAll = false;
  #recoveries = 0;
  /** How many reads have failed, up to now. */
  #failedReads = 0;
  #endDowntime: (() => void) | undefined;
  /** From here on nothing goes wrong any more. */
  #isStopping = false;

  constructor(plan: Plan, invariants: readonly Invariant[]) {
    this.plan = plan;
    this.#random = createSeededRandom(plan.seed);
    this.time = new SeededClock(createSeededRandom(-1 - plan.seed));
    this.clock = this.time.of(outside);
    this.chronicle = new Chronicle(this.clock);
    this.disk = new Disk({
      clock: this.clock,
      syncMs: () => this.#random.next() * plan.server.syncMs,
      onCommit: (number) => this.#crashesAt(number),
    });
    this.remotes = new Remotes(this);
    this.#witnesses = invariants.map(({ name, witness }) => ({ name, witness: witness(this) }));
  }

  /** What has contradicted an invariant first. */
  get finding(): Finding | undefined {
    return this.#finding;
  }

  /** The server of the moment; undefined while there is none. */
  get process(): ServerProcess | undefined {
    return this.#process;
  }

  /** Tells all witnesses. What they find is kept, and ends the simulation. */
  tell<Kind extends keyof Witness>(kind: Kind, ...sight: Parameters<NonNullable<Witness[Kind]>>): void {
    void this.ask(kind, ...sight);
  }

  /** The same, and resolves when they have looked. */
  async ask<Kind extends keyof Witness>(kind: Kind, ...sight: Parameters<NonNullable<Witness[Kind]>>): Promise<void> {
    await Promise.all(
      this.#witnesses.map(async ({ name, witness }) => {
        try {
          await (witness[kind] as ((...args: typeof sight) => void | Promise<void>) | undefined)?.(...sight);
        } catch (error) {
          this.fail(name, error);
        }
      }),
    );
  }

  /** The run that an actor has come to have; undefined before that. */
  runOf(actor: string): string | undefined {
    return this.#runIds.get(actor);
  }

  /** An actor has been told that a run is its. */
  learn(actor: string, runId: string): void {
    this.#runIds.set(actor, runId);
    this.tell("acknowledged", runId);
  }

  /** When a run expires, by the wall clock. */
  deadlineOf(runId: string): number {
    return this.#deadlines.get(runId) ?? Number.POSITIVE_INFINITY;
  }

  /** How often a step of a run has been executed, this time included. */
  countExecution(runId: string, step: string): number {
    const key = `${runId} ${step}`;
    const count = (this.#executions.get(key) ?? 0) + 1;
    this.#executions.set(key, count);
    return count;
  }

  /** A traceparent of its own for a call; the run that it starts keeps it. */
  nextTraceparent(): string {
    return `00-${(++this.#traces).toString(16).padStart(32, "0")}-${"1".padStart(16, "0")}-01`;
  }

  /** A caller has left. */
  noteLeave(traceparent: string): void {
    this.#leaves.set(traceparent, this.clock.monotonic());
  }

  /** When the caller has left who has started a run; undefined if it has not. */
  leaveOf(traceparent: string): number | undefined {
    return this.#leaves.get(traceparent);
  }

  /** A back-end recovers. */
  recovering(recovery: RecoverySight): void {
    this.tell("recovering", recovery);
    const number = ++this.#recoveries;
    for (const fault of this.plan.faults) {
      if (fault.kind === "halt" && fault.atRecovery === number) {
        this.clock.setTimeout(() => void this.restart(fault.drainMs, fault.downMs), 0);
      }
    }
  }

  /** Lets a fault happen when its time comes. A crash comes with its commit. */
  async suffer(fault: FaultPlan): Promise<void> {
    switch (fault.kind) {
      case "crash":
      case "halt":
      case "refusal":
        return;
      case "drain":
        await this.pause(fault.atMs);
        return this.restart(fault.drainMs, fault.downMs);
      case "disk": {
        await this.pause(fault.atMs);
        const end = this.chronicle.begin();
        const unsynced = fault.isWritten ? 1 : 0;
        this.disk.failing += 1;
        this.disk.unsynced += unsynced;
        await this.pause(fault.forMs);
        this.disk.failing -= 1;
        this.disk.unsynced -= unsynced;
        end();
        return;
      }
      case "reads": {
        await this.pause(fault.atMs);
        const end = this.chronicle.begin();
        this.disk.failingReads.add(fault);
        await this.pause(fault.forMs);
        this.disk.failingReads.delete(fault);
        end();
        return;
      }
      case "outage": {
        await this.pause(fault.atMs);
        const end = this.remotes.begin(fault);
        await this.pause(fault.forMs);
        end();
        return;
      }
      case "jump":
        await this.pause(fault.atMs);
        this.time.jump(fault.byMs);
        this.chronicle.jump();
        return;
    }
  }

  /** Resolves when no run is open any more, or too much time has passed for that. */
  async untilQuiet(): Promise<void> {
    let waitedMs = 0;
    do {
      // What the last caller has said before he left may be on its way.
      await this.pause(lookMs);
      waitedMs += lookMs;
    } while (waitedMs < patienceMs && !(await this.#isQuiet()));
  }

  /** Resolves after that time. */
  pause(forMs: number): Promise<void> {
    return new Promise((resolve) => this.clock.setTimeout(resolve, forMs));
  }

  /** Starts the next server on what the last one has left behind. */
  async boot(): Promise<void> {
    await this.ask("starting", await this.disk.breakers());
    const process = new ServerProcess(this, ++this.#processes, (started) => this.#openStorage(started));
    this.#process = process;
    const failedReads = this.#failedReads;
    try {
      // It does not get beyond this when it is killed meanwhile.
      await process.start();
    } catch (error) {
      if (this.#failedReads > failedReads) {
        this.crash(process);
        return;
      }
      this.fail("the server starts", error);
    }
    this.#endDowntime?.();
    this.#endDowntime = undefined;
  }

  /** Stops the server in order, if there is one, and starts it again later. */
  async restart(drainMs: number, downMs: number): Promise<void> {
    const process = this.#process;
    if (process?.connection === undefined) {
      return;
    }
    this.#endDowntime ??= this.chronicle.begin();
    const fromMs = this.clock.monotonic();
    await process.drain(drainMs);
    // It may have been killed on the way; then somebody else starts it again.
    if (this.#process === process) {
      this.tell("drained", fromMs, this.clock.monotonic());
      this.#end(process, false);
      this.#startLater(downMs);
    }
  }

  /** The process ends, by its own doing. */
  crash(process: ServerProcess): void {
    if (this.#process === process && !this.#isStopping) {
      this.#end(process, false);
      this.#startLater(crashedMs);
    }
  }

  /** Stops the server for good. */
  async stop(): Promise<void> {
    const process = this.#process;
    this.#isStopping = true;
    if (process !== undefined) {
      await process.drain(0);
      this.#end(process, false);
    }
  }

  /** The journal refuses nothing any more. */
  takeAll(): void {
    this.#takesAll = true;
  }

  async #isQuiet(): Promise<boolean> {
    for (const runId of await this.disk.runIds()) {
      const last = (await this.disk.events(runId)).at(-1)?.event.case;
      if (last === undefined || !terminalKinds.has(last)) {
        return false;
      }
    }
    return this.#process?.connection !== undefined;
  }

  #openStorage(process: ServerProcess): Storage {
    return slowStorage(this.disk.mount(process.clock, false), {
      queue: () => this.#queue(process),
      refuses: (append) => this.#refuses(append),
      onAppend: (appends) => this.#onAppend(process, appends),
      onRefusal: (appends) => this.#onRefusal(process, appends),
    });
  }

  /** Reads wait behind others, more or less. @throws JournalUnavailableError while reads fail */
  async #queue({ clock }: ServerProcess): Promise<void> {
    for (let before = Math.floor(this.#random.next() * 3); before > 0; before--) {
      await new Promise<void>((resolve) => clock.setImmediate(resolve));
    }
    for (const { share } of this.disk.failingReads) {
      if (this.#random.next() < share) {
        this.#failedReads += 1;
        throw new JournalUnavailableError("the disk cannot be read");
      }
    }
  }

  /** Whether the journal fails to take an append, alone. */
  #refuses(order: StreamAppend): boolean {
    const { stream } = order;
    if (!stream.startsWith("run/")) {
      return false;
    }
    for (const { event } of eventsOf(order)) {
      const isChild = event.case === "accepted" && event.value.parentRunId !== "";
      if (isChild || event.case === "childStarted" || event.case === "fallbackStarted") {
        this.#families.add(stream);
      }
    }
    const append = ++this.#appends;
    const ofFamily = this.#families.has(stream) ? ++this.#ofFamilies : undefined;
    return (
      !this.#takesAll &&
      this.plan.faults.some(
        (fault) => fault.kind === "refusal" && fault.atAppend === (fault.isOfFamily ? ofFamily : append),
      )
    );
  }

  #onAppend(process: ServerProcess, appends: readonly StreamAppend[]): void {
    for (const order of process.isAlive ? appends : []) {
      const { stream, records } = order;
      if (stream.startsWith("run/")) {
        const events = eventsOf(order);
        const runId = stream.slice("run/".length);
        for (const { sequence, event } of events) {
          this.chronicle.note(runId, sequence);
          if (event.case === "accepted") {
            this.#deadlines.set(runId, msFromTimestamp(event.value.deadline));
          }
        }
        this.tell("appended", runId, events);
      } else if (stream.startsWith(breakerPrefix)) {
        for (const data of records) {
          const breaker = fromBinary(BreakerEventSchema, data);
          const isTrial = breaker.event.case === "halfOpened" && breaker.event.value.successes > 0;
          this.tell(isTrial ? "tried" : "transitioned", methodOf(workflowOfStream(stream)), breaker);
        }
      }
    }
  }

  #onRefusal(process: ServerProcess, appends: readonly StreamAppend[]): void {
    for (const { stream, records } of process.isAlive ? appends : []) {
      if (records.length > 0 && stream.startsWith("run/")) {
        this.tell("refused", stream.slice("run/".length));
      }
    }
  }

  /** Whether the server dies while that commit is being synced. */
  #crashesAt(commit: number): boolean {
    const process = this.#process;
    const crash = this.plan.faults.find((fault) => fault.kind === "crash" && fault.atCommit === commit);
    if (crash?.kind !== "crash" || process === undefined || this.#isStopping) {
      return false;
    }
    this.#end(process, crash.isStored && !this.disk.isFull);
    this.#startLater(crash.downMs);
    return true;
  }

  #end(process: ServerProcess, batchIsStored: boolean): void {
    this.#endDowntime ??= this.chronicle.begin();
    process.kill();
    this.#process = undefined;
    this.disk.mount(this.clock, batchIsStored);
  }

  #startLater(downMs: number): void {
    this.clock.setTimeout(() => void this.boot(), downMs);
  }

  /** Something does not hold. The first time counts. */
  fail(invariant: string, error: unknown): void {
    const message =
      error instanceof Violation ? error.message : error instanceof Error ? (error.stack ?? "") : String(error);
    this.#finding ??= { invariant, message };
  }
}

function eventsOf({ stream, expectedSequence, records }: StreamAppend): readonly RunEvent[] {
  return records.map((data, index) => decodeEvent(stream, { sequence: expectedSequence + index + 1, data }));
}
