import { create } from "@bufbuild/protobuf";
import {
  type BreakerEvent,
  BreakerHalfOpenedSchema,
  BreakerMode,
  BreakerState,
} from "../../../gen/retake/v1/breaker_pb.js";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import type { Clock, RandomSource } from "../../clock.ts";
import type { Workflow } from "../../contract/index.ts";
import type { TraceFields } from "../../trace-fields.ts";
import type { Logger } from "../logger.ts";
import type { Journal } from "../ports/journal.ts";
import type { Scheduler } from "../ports/scheduler.ts";
import { runPages } from "../run-pages.ts";
import type { RunRecord } from "../run-record.ts";
import { Breaker, type Fitness, type Forcing } from "./breaker.ts";
import { BreakerStreams, withTransition } from "./breaker-streams.ts";
import { leavesOnOpen } from "./on-open.ts";

export interface BreakersOptions {
  readonly journal: Journal;
  readonly scheduler: Pick<Scheduler, "wake">;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
  /** The name of a workflow's back-end: where its attempts are made. */
  readonly backendOf: (workflow: Workflow) => string;
  /** Asks a workflow's back-end whether it is fit again; undefined where only an attempt can tell. */
  readonly probe?: (workflow: string) => Promise<Fitness | undefined> | undefined;
  /** Told of each transition: a metric, an alert. Must not throw. */
  readonly onTransition?: (transition: BreakerTransition) => void;
}

export interface BreakerTransition {
  readonly workflow: string;
  readonly event: BreakerEvent;
}

/** A breaker with what has happened to it, the newest first. */
export interface ListedBreaker {
  readonly breaker: Breaker;
  readonly transitions: readonly BreakerEvent[];
}

interface Place {
  readonly breaker: Breaker;
  transitions: readonly BreakerEvent[];
  /** When its newest transition is durable. */
  stored: Promise<void>;
  /** Nobody needs it any more: whoever has it looks for its successor. */
  dropped: boolean;
}

const noCall: TraceFields = {};

/**
 * The breakers of all workflows whose policy wants one, each with a stream of its own in the journal.
 *
 * 1. A transition holds at once, and is stored in the background: a crash may lose the newest one, or the newest trial. What
 *    an operator has said is acknowledged when it is durable.
 * 2. Time passes from `start` on, and no attempt is made before that.
 * 3. When a breaker opens, the runs that stand in line for a permit are told: attempts that hang may hold all of those.
 */
export class Breakers {
  readonly #options: BreakersOptions;
  readonly #streams: BreakerStreams;
  readonly #places = new Map<string, Place>();
  readonly #byWorkflow = new WeakMap<Workflow, Place>();
  /** What an earlier process has left of breakers that nobody has asked for yet. */
  #left = new Map<string, readonly BreakerEvent[]>();
  #started = false;
  /** The call by which an operator says what a breaker is to do, while it does so. */
  #call: TraceFields = noCall;

  constructor(options: BreakersOptions) {
    this.#options = options;
    this.#streams = new BreakerStreams(options);
  }

  /** Reads what an earlier process has left. */
  async open(workflows: Iterable<Workflow>): Promise<void> {
    this.#left = new Map(await this.#streams.open());
    this.retain(workflows);
  }

  /** From now on time passes, and held runs are woken. */
  start(): void {
    this.#started = true;
    for (const { breaker } of this.#places.values()) {
      breaker.start();
    }
  }

  /** Lets no more time pass. Resolves when everything is durable. */
  async stop(): Promise<void> {
    this.#started = false;
    for (const { breaker } of this.#places.values()) {
      breaker.stop();
    }
    await this.#streams.settle();
  }

  /** The breaker of a workflow; undefined where its policy wants none. */
  of(workflow: Workflow): Breaker | undefined {
    return workflow.policy.circuitBreaker === undefined ? undefined : this.#placeOf(workflow)?.breaker;
  }

  /** The same by name, for those who only look: undefined also for one that nobody has asked for yet. */
  find(workflow: string): Breaker | undefined {
    return this.#places.get(workflow)?.breaker;
  }

  /** Whether a run that its breaker has parked stays so. */
  keeps(run: RunRecord, workflow: Workflow): boolean {
    const { accepted, createTimeMs } = run;
    const breaker = this.of(workflow);
    if (breaker === undefined) {
      // Its policy has changed: the one that held it, if it is still there, goes on without it.
      this.withdraw(accepted.runId);
      return false;
    }
    return breaker.keeps(accepted.runId, accepted.priority, createTimeMs, leavesOnOpen(run, workflow.policy));
  }

  /** A run will make no attempt: it has ended, or something else holds it. */
  withdraw(runId: string): void {
    for (const { breaker } of this.#places.values()) {
      breaker.withdraw(runId);
    }
  }

  /** The breaker of a workflow with its history; undefined where its policy wants none. */
  look(workflow: Workflow): ListedBreaker | undefined {
    return workflow.policy.circuitBreaker === undefined ? undefined : this.#placeOf(workflow);
  }

  /**
   * Holds a breaker open or closed, or lets it be automatic again where there is nothing to hold it. Resolves when that
   * is durable.
   */
  async force(
    workflow: Workflow,
    forcing: Forcing | undefined,
    requestedBy: string,
    reason: string,
    call: TraceFields = noCall,
  ): Promise<void> {
    const place = this.#placeOf(workflow);
    this.#call = call;
    try {
      if (forcing !== undefined) {
        place?.breaker.force(forcing);
      } else {
        place?.breaker.unforce(requestedBy, reason);
      }
    } finally {
      this.#call = noCall;
    }
    await place?.stored;
  }

  /** These are the workflows from now on. Of others nothing is kept but what an operator has said. */
  retain(workflows: Iterable<Workflow>): void {
    const wanted = new Set<string>();
    for (const workflow of workflows) {
      if (this.of(workflow) !== undefined) {
        wanted.add(workflow.name);
      }
    }
    for (const [name, place] of this.#places) {
      if (!wanted.has(name)) {
        place.dropped = true;
        place.breaker.stop();
        this.#places.delete(name);
        this.#left.set(name, place.transitions);
      }
    }
    for (const [name, events] of this.#left) {
      if (events[0]?.event.case !== "forced") {
        this.#left.delete(name);
        this.#streams.forget(name);
      }
    }
  }

  #placeOf(workflow: Workflow): Place | undefined {
    const known = this.#byWorkflow.get(workflow);
    if (known?.dropped === false) {
      return known;
    }
    const policy = workflow.policy.circuitBreaker;
    if (policy === undefined) {
      return undefined;
    }
    const backend = this.#options.backendOf(workflow);
    let place = this.#places.get(workflow.name);
    if (place === undefined) {
      for (const { breaker } of this.#places.values()) {
        breaker.tidy();
      }
      place = this.#create(workflow, backend);
    } else {
      place.breaker.adopt(policy, backend);
    }
    this.#byWorkflow.set(workflow, place);
    return place;
  }

  #create({ name, policy: { circuitBreaker } }: Workflow, backend: string): Place {
    if (circuitBreaker === undefined) {
      throw new Error(`${name} has no breaker`);
    }
    const { clock, scheduler, probe } = this.#options;
    const left = this.#left.get(name) ?? [];
    this.#left.delete(name);
    const place: Place = {
      breaker: new Breaker({
        workflow: name,
        backend: left[0]?.backend ?? backend,
        policy: circuitBreaker,
        clock,
        // The past: as soon as possible, whatever the clock does.
        wake: (runId, priority) => scheduler.wake(runId, 0, priority),
        onTransition: (event) => this.#onTransition(place, event),
        onTrial: () => this.#onTrial(place),
        probe: () => probe?.(name),
      }),
      transitions: left,
      stored: Promise.resolve(),
      dropped: false,
    };
    this.#places.set(name, place);
    if (left[0] !== undefined) {
      place.breaker.restore(left[0]);
    }
    place.breaker.adopt(circuitBreaker, backend);
    if (this.#started) {
      place.breaker.start();
    }
    return place;
  }

  #onTransition(place: Place, event: BreakerEvent): void {
    const { workflow, mode } = place.breaker;
    const { log, onTransition } = this.#options;
    place.transitions = withTransition(place.transitions, event);
    place.stored = this.#streams.append(workflow, event);
    place.stored.catch(noop);
    const { case: kind } = event.event;
    const facts = {
      workflow,
      backend: event.backend,
      generation: Number(event.generation),
      reason: event.reason,
      ...this.#call,
    };
    if (kind === "forced") {
      const state = mode === BreakerMode.FORCED_OPEN ? "open" : "closed";
      log.warn({ ...facts, requestedBy: event.requestedBy }, `a breaker is held ${state} by an operator`);
    } else if (kind === "opened") {
      log.warn(facts, "a breaker has opened: its back-end is left alone");
    } else {
      log.info(facts, kind === "closed" ? "a breaker has closed" : "a breaker is half-open: a trial decides");
    }
    onTransition?.({ workflow, event });
    if (this.#started && place.breaker.state === BreakerState.OPEN) {
      this.#wakeQueued(workflow).catch((error: unknown) => {
        log.error({ err: error, workflow }, "runs in line could not be told that their breaker is open");
      });
    }
  }

  /** A trial is no transition: the one that it belongs to says how many there have been. */
  #onTrial(place: Place): void {
    const { workflow, trialSuccesses: successes } = place.breaker;
    const [halfOpened, ...before] = place.transitions;
    if (halfOpened?.event.case === "halfOpened") {
      const event: BreakerEvent = {
        ...halfOpened,
        event: { case: "halfOpened", value: create(BreakerHalfOpenedSchema, { successes }) },
      };
      place.transitions = [event, ...before];
      place.stored = this.#streams.append(workflow, event);
      place.stored.catch(noop);
    }
  }

  async #wakeQueued(workflow: string): Promise<void> {
    const { journal, scheduler } = this.#options;
    // What has been accepted until now must be found.
    await journal.flush();
    for await (const rows of runPages(journal, { workflow, states: [RunState.QUEUED] })) {
      for (const { runId } of rows) {
        scheduler.wake(runId, 0);
      }
      if (this.find(workflow)?.state !== BreakerState.OPEN) {
        return;
      }
    }
  }
}

function noop(): void {}
