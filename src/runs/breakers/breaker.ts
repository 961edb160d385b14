import { create } from "@bufbuild/protobuf";
import {
  BreakerClosedSchema,
  type BreakerEvent,
  BreakerForcedSchema,
  BreakerHalfOpenedSchema,
  BreakerMode,
  BreakerOpenedSchema,
  BreakerState,
} from "../../../gen/retake/v1/breaker_pb.js";
import type { Clock, Timer } from "../../clock.ts";
import type { ResolvedCircuitBreaker } from "../../contract/index.ts";
import { msFromTimestamp, timestampFromMs } from "../time.ts";
import { HeldRuns } from "./held-runs.ts";
import { type OutcomeCounts, OutcomeWindow, type OutcomeWindowOptions } from "./outcome-window.ts";

/** What an attempt's end says of its back-end; undefined where it says nothing. */
export type Verdict = "success" | "failure" | undefined;

/** What a back-end says of itself. */
export interface Fitness {
  /** Whether attempts would work again. */
  readonly fit: boolean;
  /** Why not. */
  readonly reason?: string | undefined;
}

/** A run is not let through. */
export interface BreakerRefusal {
  /** Whether nobody is; otherwise the run only goes behind others, and its turn comes. */
  readonly open: boolean;
  readonly reason: string;
  /** When asking again may help, in ms since the epoch; undefined where nobody knows. */
  readonly notBeforeMs: number | undefined;
}

export interface Forcing {
  readonly open: boolean;
  readonly requestedBy: string;
  readonly reason: string;
  /** In ms since the epoch; undefined for until somebody says so. */
  readonly untilMs: number | undefined;
}

export interface BreakerOptions {
  readonly workflow: string;
  readonly backend: string;
  readonly policy: ResolvedCircuitBreaker;
  readonly clock: Clock;
  /** A run that was held is let through. */
  readonly wake: (runId: string, priority: number) => void;
  /** Called at each transition, before anybody goes by it. */
  readonly onTransition: (event: BreakerEvent) => void;
  /** Called when a trial has succeeded and others must: `trialSuccesses` has grown. */
  readonly onTrial: () => void;
  /** Asks the back-end itself for a trial; undefined, at once or as its answer, where only an attempt can tell. */
  readonly probe: () => Promise<Fitness | undefined> | undefined;
}

type State =
  | { readonly kind: "closed" }
  | { readonly kind: "open"; readonly reason: string; readonly retryMonotonicMs: number }
  | { readonly kind: "half-open"; successes: number; probing: boolean }
  | { readonly kind: "forced"; readonly forcing: Forcing };

const closed: State = { kind: "closed" };
const noCounts: OutcomeCounts = { attempts: 0, failures: 0 };

/** The wall clock may jump: what ends by it is looked at this often. */
const longestNapMs = 60_000;

/**
 * The breaker of one workflow and its back-end.
 *
 * 1. Each transition begins a generation. The end of an attempt that began in an older one changes nothing.
 * 2. While open, nobody is let through; while half-open, one run at a time, or none where the back-end is probed. A run whose
 *    attempt is not over after the reset time-out and the window, whichever is longer, may hang: another one is let through
 *    then, and what comes of the first one still counts.
 * 3. Runs that are held leave in waves of 1, 2, 4, … once it is closed. A wave is over when the attempts of its runs have
 *    ended, or after the reset time-out: attempts may last for hours. While runs are held, newcomers go behind them.
 * 4. A run that is let through is so until its attempt has ended, it withdraws, or the next transition comes.
 * 5. Runs that would not have waited for an open breaker, and are held behind others by a closed one, are woken when it
 *    opens again.
 * 6. Time in the open state runs by the monotonic clock; only what an operator has said, and restarts, go by the wall.
 */
export class Breaker {
  readonly workflow: string;
  readonly #options: BreakerOptions;
  #policy: ResolvedCircuitBreaker;
  #backend: string;
  #state: State = closed;
  #generation = 0;
  #window: OutcomeWindow | undefined;
  readonly #held = new HeldRuns();
  /** Those that are let through although others are held, with the number of their wave. */
  readonly #admitted = new Map<string, number>();
  #wave = 0;
  #waveSize = 0;
  /** Runs of the wave whose attempts have not ended. */
  #waveLeft = 0;
  #waveFailed = false;
  #waveTimer: Timer | undefined;
  /** Ends the state. */
  #timer: Timer | undefined;
  /** Between `start` and `stop`. */
  #running = false;

  constructor(options: BreakerOptions) {
    this.workflow = options.workflow;
    this.#options = options;
    this.#policy = options.policy;
    this.#backend = options.backend;
  }

  get backend(): string {
    return this.#backend;
  }

  get generation(): number {
    return this.#generation;
  }

  get mode(): BreakerMode {
    if (this.#state.kind !== "forced") {
      return BreakerMode.AUTOMATIC;
    }
    return this.#state.forcing.open ? BreakerMode.FORCED_OPEN : BreakerMode.FORCED_CLOSED;
  }

  get state(): BreakerState {
    if (this.#isClosed) {
      return BreakerState.CLOSED;
    }
    return this.#state.kind === "half-open" ? BreakerState.HALF_OPEN : BreakerState.OPEN;
  }

  get trialSuccesses(): number {
    return this.#state.kind === "half-open" ? this.#state.successes : 0;
  }

  /** Runs that it holds. */
  get waiting(): number {
    return this.#held.size;
  }

  /** Whether a run that comes now would be held. */
  get holdsNewcomers(): boolean {
    return !(this.#isClosed ? this.#held.size === 0 : this.#trialIsFree);
  }

  /** Runs that were let through in the wave that is under way. */
  get waveSize(): number {
    return this.#waveLeft === 0 ? 0 : this.#waveSize;
  }

  get counts(): OutcomeCounts {
    return this.#window?.counts(this.#options.clock.monotonic()) ?? noCounts;
  }

  /** When a trial is due, or a forced state expires, in ms since the epoch. */
  get notBeforeMs(): number | undefined {
    const { clock } = this.#options;
    switch (this.#state.kind) {
      case "open":
        return clock.now() + Math.max(0, this.#state.retryMonotonicMs - clock.monotonic());
      case "forced":
        return this.#state.forcing.untilMs;
      default:
        return undefined;
    }
  }

  /**
   * Takes on a policy and a back-end that have changed. Another back-end has given no reason to be left alone; what an
   * operator has said stays.
   */
  adopt(policy: ResolvedCircuitBreaker, backend: string): void {
    if (this.#window !== undefined && !detectsAlike(policy, this.#policy)) {
      this.#dropWindow();
    }
    this.#policy = policy;
    if (backend === this.#backend) {
      return;
    }
    const before = this.#backend;
    this.#backend = backend;
    this.#dropWindow();
    if (this.#state.kind === "open" || this.#state.kind === "half-open") {
      this.#close(`its back-end is ${backend} now, and was ${before}`);
    }
  }

  /** Whether a run may make an attempt; asking again changes nothing. Undefined lets it through. */
  refusal(runId: string): BreakerRefusal | undefined {
    const isClosed = this.#isClosed;
    if ((isClosed && this.#held.size === 0) || this.#admitted.has(runId)) {
      return undefined;
    }
    if (this.#trialIsFree) {
      // Nobody is held: those would have been let through.
      this.#admit(runId);
      return undefined;
    }
    return { open: !isClosed, reason: this.reason, notBeforeMs: isClosed ? undefined : this.notBeforeMs };
  }

  /** Why runs are not let through, in a sentence. */
  get reason(): string {
    const state = this.#state;
    const name = `the breaker of ${this.workflow}`;
    if (this.#isClosed) {
      return `${name} has closed, and the runs that it held go first, in waves`;
    }
    if (state.kind === "open") {
      return `${name} is open: ${state.reason}`;
    }
    if (state.kind === "forced") {
      const { requestedBy, reason } = state.forcing;
      return `${name} is held open by ${requestedBy}${reason === "" ? "" : `: ${reason}`}`;
    }
    return `${name} is half-open: whether a trial succeeds decides`;
  }

  /**
   * Holds a run until it may go on, and wakes it then: at once where that is now. One that is let through stays so.
   *
   * @param leavesOnOpen it does not wait for an open breaker, and is woken when this one opens
   */
  hold(runId: string, priority: number, acceptedMs: number, leavesOnOpen = false): void {
    if (!this.#admitted.has(runId)) {
      this.#held.add(runId, priority, acceptedMs, leavesOnOpen);
      this.#letGo();
    }
  }

  /**
   * Whether a run that is parked stays so. Held runs are in memory, and parked ones in the journal: this is where both
   * meet, so that a run that was parked before a restart takes its place.
   *
   * @param leavesOnOpen as of `hold`
   */
  keeps(runId: string, priority: number, acceptedMs: number, leavesOnOpen = false): boolean {
    if (this.#admitted.has(runId)) {
      return false;
    }
    this.#held.add(runId, priority, acceptedMs, leavesOnOpen);
    // It has come by itself, so it need not be woken.
    this.#letGo(runId);
    return !this.#admitted.has(runId) && !(leavesOnOpen && !this.#isClosed);
  }

  /** Its place among those that are held: 1 is next. */
  position(runId: string): number | undefined {
    return this.#held.position(runId);
  }

  /** A run will make no attempt. */
  withdraw(runId: string): void {
    if (!this.#held.remove(runId)) {
      this.#release(runId);
    }
  }

  /** The attempt of a run that was let through in a generation has ended. */
  settle(runId: string, generation: number, verdict: Verdict): void {
    if (!this.#running) {
      return;
    }
    if (generation === this.#generation && verdict !== undefined) {
      this.#count(verdict);
    }
    if (this.#admitted.size > 0) {
      this.#release(runId);
    }
  }

  /** An operator holds it open or closed. */
  force(forcing: Forcing): void {
    this.#enter({ kind: "forced", forcing }, forcing.reason, forcing.requestedBy);
  }

  /** It is automatic again; changes nothing if it is. */
  unforce(requestedBy: string, reason: string): void {
    if (this.#state.kind !== "forced") {
      return;
    }
    if (this.#state.forcing.open) {
      this.#halfOpen(reason, requestedBy);
    } else {
      this.#close(reason, requestedBy);
    }
  }

  /** Goes on from what an earlier process has left; time passes from `start` on. */
  restore(event: BreakerEvent): void {
    this.#generation = Number(event.generation);
    this.#state = this.#restored(event);
  }

  /** Time passes for it from now on. */
  start(): void {
    this.#running = true;
    if (this.#state.kind === "half-open") {
      // The trial has ended with its process.
      this.#followProbe(this.#options.probe());
    }
    this.#setTimer();
    this.#letGo();
  }

  /** Leaves no timer behind; what ends from now on is not counted. */
  stop(): void {
    this.#running = false;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#endWave();
    this.#dropWindow();
  }

  /** Frees what is only of use while attempts end now and then. */
  tidy(): void {
    if (this.#window?.isEmpty(this.#options.clock.monotonic()) === true) {
      this.#dropWindow();
    }
  }

  get #isClosed(): boolean {
    return this.#state.kind === "closed" || (this.#state.kind === "forced" && !this.#state.forcing.open);
  }

  get #trialIsFree(): boolean {
    return this.#state.kind === "half-open" && !this.#state.probing && this.#admitted.size === 0;
  }

  #count(verdict: "success" | "failure", why = "a trial has failed"): void {
    const state = this.#state;
    if (verdict === "failure") {
      this.#waveFailed = true;
    }
    if (state.kind === "closed") {
      const nowMs = this.#options.clock.monotonic();
      this.#window ??= new OutcomeWindow(this.#policy, nowMs);
      if (verdict === "success") {
        this.#window.addSuccess(nowMs);
      } else if (this.#window.addFailure(nowMs)) {
        const { attempts, failures } = this.#window.counts(nowMs);
        this.#open(`${failures} of ${attempts} attempts failed within ${this.#policy.windowMs / 1000} s`);
      }
    } else if (state.kind === "half-open") {
      if (verdict === "failure") {
        this.#open(why);
      } else if (++state.successes >= this.#policy.successThreshold) {
        this.#close(state.successes === 1 ? "a trial has succeeded" : `${state.successes} trials have succeeded`);
      } else {
        this.#options.onTrial();
        if (state.probing) {
          this.#followProbe(this.#options.probe());
          this.#letGo();
        }
      }
    }
  }

  #open(reason: string): void {
    const retryMonotonicMs = this.#options.clock.monotonic() + this.#policy.resetTimeoutMs;
    this.#enter({ kind: "open", reason, retryMonotonicMs }, reason);
  }

  #halfOpen(reason: string, requestedBy = ""): void {
    const probe = this.#options.probe();
    this.#enter({ kind: "half-open", successes: 0, probing: probe !== undefined }, reason, requestedBy);
    this.#followProbe(probe);
  }

  #close(reason: string, requestedBy = ""): void {
    this.#enter(closed, reason, requestedBy);
  }

  #enter(state: State, reason: string, requestedBy = ""): void {
    this.#state = state;
    this.#generation++;
    this.#admitted.clear();
    this.#endWave();
    this.#dropWindow();
    this.#options.onTransition(this.#event(reason, requestedBy));
    this.#setTimer();
    this.#letGo();
    if (!this.#isClosed) {
      for (const { runId, priority } of this.#held.takeLeaving()) {
        this.#options.wake(runId, priority);
      }
    }
  }

  #followProbe(probe: Promise<Fitness | undefined> | undefined): void {
    const state = this.#state;
    if (state.kind !== "half-open") {
      return;
    }
    state.probing = probe !== undefined;
    const generation = this.#generation;
    const answered = (answer: Fitness | undefined): void => {
      if (!this.#running || generation !== this.#generation) {
        return;
      }
      if (answer === undefined) {
        state.probing = false;
        this.#setTimer();
        this.#letGo();
      } else if (answer.fit) {
        this.#count("success");
      } else {
        this.#count("failure", `its back-end is not fit yet${answer.reason ? `: ${answer.reason}` : ""}`);
      }
    };
    probe?.then(answered, () => answered({ fit: false }));
  }

  #setTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (!this.#running) {
      return;
    }
    const { clock } = this.#options;
    const state = this.#state;
    if (state.kind === "open") {
      const leftMs = state.retryMonotonicMs - clock.monotonic();
      this.#timer = clock.setTimeout(() => this.#halfOpen("it was open for its reset_timeout"), leftMs);
    } else if (state.kind === "half-open" && state.probing) {
      const { resetTimeoutMs } = this.#policy;
      this.#timer = clock.setTimeout(() => this.#open("a probe was not answered"), resetTimeoutMs);
    } else if (state.kind === "forced" && state.forcing.untilMs !== undefined) {
      const leftMs = state.forcing.untilMs - clock.now();
      this.#timer =
        leftMs <= 0
          ? clock.setTimeout(() => this.unforce("", "the forced state has expired"), 0)
          : clock.setTimeout(() => this.#setTimer(), Math.min(leftMs, longestNapMs));
    }
  }

  /** Lets those go on that may by now. @param awake the one that need not be woken */
  #letGo(awake?: string): void {
    if (!this.#running) {
      return;
    }
    if (this.#trialIsFree) {
      this.#admitFirst(awake);
    } else if (this.#isClosed && this.#waveLeft === 0) {
      this.#startWave(awake);
    }
  }

  #startWave(awake?: string): void {
    this.#waveTimer?.cancel();
    this.#waveTimer = undefined;
    this.#waveLeft = 0;
    if (this.#held.size === 0) {
      this.#waveSize = 0;
      return;
    }
    this.#waveSize = this.#waveSize === 0 || this.#waveFailed ? 1 : this.#waveSize * 2;
    this.#waveFailed = false;
    this.#wave++;
    this.#waveLeft = Math.min(this.#waveSize, this.#held.size);
    this.#waveTimer = this.#options.clock.setTimeout(() => this.#startWave(), this.#policy.resetTimeoutMs);
    for (let left = this.#waveLeft; left > 0; left--) {
      this.#admitFirst(awake);
    }
  }

  #endWave(): void {
    this.#waveTimer?.cancel();
    this.#waveTimer = undefined;
    this.#waveLeft = 0;
    this.#waveSize = 0;
    this.#waveFailed = false;
  }

  #admitFirst(awake: string | undefined): void {
    const first = this.#held.take();
    if (first !== undefined) {
      this.#admit(first.runId);
      if (first.runId !== awake) {
        this.#options.wake(first.runId, first.priority);
      }
    }
  }

  #admit(runId: string): void {
    this.#admitted.set(runId, this.#wave);
    if (this.#state.kind === "half-open" && this.#running) {
      const patienceMs = Math.max(this.#policy.resetTimeoutMs, this.#policy.windowMs);
      this.#timer = this.#options.clock.setTimeout(() => this.#release(runId), patienceMs);
    }
  }

  #release(runId: string): void {
    const wave = this.#admitted.get(runId);
    if (wave === undefined) {
      return;
    }
    this.#admitted.delete(runId);
    if (this.#state.kind === "half-open") {
      this.#timer?.cancel();
      this.#timer = undefined;
    }
    if (this.#waveLeft > 0 && wave === this.#wave && --this.#waveLeft === 0) {
      this.#startWave();
    } else {
      this.#letGo();
    }
  }

  #dropWindow(): void {
    this.#window?.close();
    this.#window = undefined;
  }

  #event(reason: string, requestedBy: string): BreakerEvent {
    return {
      $typeName: "retake.v1.BreakerEvent",
      time: timestampFromMs(this.#options.clock.now()),
      generation: BigInt(this.#generation),
      backend: this.#backend,
      reason,
      requestedBy,
      event: this.#eventBody(),
    };
  }

  #eventBody(): BreakerEvent["event"] {
    const state = this.#state;
    const { notBeforeMs } = this;
    switch (state.kind) {
      case "closed":
        return { case: "closed", value: create(BreakerClosedSchema) };
      case "open":
        return {
          case: "opened",
          value: create(BreakerOpenedSchema, { retryTime: timestampFromMs(notBeforeMs ?? 0) }),
        };
      case "half-open":
        return { case: "halfOpened", value: create(BreakerHalfOpenedSchema, { successes: state.successes }) };
      case "forced":
        return {
          case: "forced",
          value: create(BreakerForcedSchema, {
            state: this.state,
            ...(notBeforeMs === undefined ? {} : { expireTime: timestampFromMs(notBeforeMs) }),
          }),
        };
    }
  }

  #restored({ event, reason, requestedBy }: BreakerEvent): State {
    const { clock } = this.#options;
    switch (event.case) {
      case "opened": {
        const leftMs = event.value.retryTime === undefined ? 0 : msFromTimestamp(event.value.retryTime) - clock.now();
        // The wall clock may have gone back meanwhile.
        const delayMs = Math.min(Math.max(0, leftMs), this.#policy.resetTimeoutMs);
        return { kind: "open", reason, retryMonotonicMs: clock.monotonic() + delayMs };
      }
      case "halfOpened":
        return { kind: "half-open", successes: event.value.successes, probing: false };
      case "forced": {
        const { state, expireTime } = event.value;
        const untilMs = expireTime === undefined ? undefined : msFromTimestamp(expireTime);
        return { kind: "forced", forcing: { open: state === BreakerState.OPEN, requestedBy, reason, untilMs } };
      }
      default:
        return closed;
    }
  }
}

function detectsAlike(a: OutcomeWindowOptions, b: OutcomeWindowOptions): boolean {
  return (
    a.windowMs === b.windowMs &&
    a.volumeThreshold === b.volumeThreshold &&
    a.errorThresholdPercentage === b.errorThresholdPercentage
  );
}
