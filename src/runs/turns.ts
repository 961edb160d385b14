import { Code, ConnectError } from "@connectrpc/connect";
import { type Failure, type FallbackStarted, RunMode, RunState, WakeCause } from "../../gen/retake/v1/run_pb.js";
import type { Clock, RandomSource, Timer } from "../clock.ts";
import type { Policy, Workflow } from "../contract/index.ts";
import { runFields } from "../trace-fields.ts";
import { ActiveTurn, type LoadInput } from "./active-turn.ts";
import {
  attemptFailed,
  cancelled,
  cancelRequested,
  expired,
  failed,
  fallbackEnded,
  orphaned,
  parked,
  rejoined,
  succeeded,
  woken,
} from "./bodies.ts";
import type { Breakers } from "./breakers/breakers.ts";
import type { ContractCheck } from "./contract-check.ts";
import { crashLoop, endFailure } from "./end-error.ts";
import { equalBytes } from "./equal-bytes.ts";
import { draining, queueFull } from "./errors.ts";
import { runStatistics } from "./events.ts";
import { createError, createFailure, errorFromFailure, isBystanders } from "./failure.ts";
import { classifyError } from "./failures/classify.ts";
import { untriedFallbacks } from "./fallback-tries.ts";
import type { Outcome, RunHandler } from "./handler.ts";
import { inLine } from "./in-line.ts";
import type { LiveRun } from "./live-run.ts";
import type { LiveRuns } from "./live-runs.ts";
import type { Logger } from "./logger.ts";
import type { Pauses } from "./pauses.ts";
import { isLost } from "./payload-loss.ts";
import type { Gates } from "./ports/gates.ts";
import type { Payloads } from "./ports/payloads.ts";
import type { Scheduler } from "./ports/scheduler.ts";
import type { Retakes } from "./retakes.ts";
import { allowsEvent, type RunEventBody, type RunRecord } from "./run-record.ts";
import { retryDelayMs } from "./storage/retry-delay.ts";

export interface TurnsOptions {
  readonly live: LiveRuns;
  readonly scheduler: Scheduler;
  readonly gates: Pick<Gates, "waiting">;
  readonly payloads: Payloads;
  readonly contracts: ContractCheck;
  readonly pauses: Pick<Pauses, "of" | "keeps" | "waiting">;
  readonly breakers: Pick<Breakers, "find" | "keeps">;
  readonly retakes: Pick<Retakes, "add" | "withdraw" | "waiting">;
  /** A run will make no attempt: whatever it waits for, or was let through to, goes to others. */
  readonly withdraw: (runId: string) => void;
  /** A run takes another turn later: what is kept for it until then goes to others. */
  readonly standAside: (runId: string) => void;
  /** The stages, composed, with the back-ends innermost. */
  readonly chain: RunHandler;
  /** The stages that decide what follows when an attempt has failed, behind one that has failed with this. */
  readonly afterFailure: (failure: Failure) => RunHandler;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
}

export interface CancelOptions {
  /** The run whose end is the reason. */
  readonly parent?: LiveRun | undefined;
  readonly failedTries?: number;
}

/** What the callers of a cancelled run are told. */
export const callerLost = "CALLER_LOST";
export const drained = "DRAINED";

/** Why an attempt is told to stop whose run is read anew. */
const notJournaled = "NOT_JOURNALED";

/**
 * Advances runs, one turn after the other: each reads the reduced run, enters the chain of stages, and either ends the run
 * or commits what it waits for and unwinds.
 *
 * 1. A run takes one turn at a time.
 * 2. What a turn decides is committed in one append; what was prepared for it (an Accepted, a Woken) goes first.
 * 3. The first commit wins: what a back-end answers after CancelRequested, or after its turn was concluded, is dropped.
 * 4. A turn that ends without an end leaves a wish with the scheduler, for the next moment that matters. One that fails, or
 *    whose run cannot be read, has used up the wish that it came by, and leaves one to be taken again.
 * 5. A run whose append has failed is read anew, and what its turn comes to after that is dropped: an attempt that is open in
 *    the journal then is nobody's, and is closed as an interruption.
 */
export class Turns {
  readonly #options: TurnsOptions;
  readonly #loadInput: LoadInput = (run) => this.#readInput(run);
  /** Set by `handBack`: turns are taken no more. */
  #stopped = false;
  #active = 0;
  /** How many turns have failed in a row, of the runs that this has happened to. */
  readonly #failedTurns = new Map<string, number>();
  /** For runs that are to be cancelled when they can be read, or to be read anew. */
  readonly #delayed = new Set<Timer>();
  #whenIdle: (() => void) | undefined;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** How many turns are being taken. */
  get active(): number {
    return this.#active;
  }

  /** The scheduler's call: reads the run and advances it. Never rejects. */
  async take(runId: string): Promise<void> {
    const { live, withdraw, standAside, log } = this.#options;
    let run: LiveRun | undefined;
    try {
      run = await live.hold(runId);
    } catch (error) {
      standAside(runId);
      if (this.#retake(runId) === 1) {
        log.error({ err: error, run_id: runId }, "a run could not be read; it is tried again until it can");
      }
      return;
    }
    if (run === undefined) {
      withdraw(runId);
      this.#failedTurns.delete(runId);
      return;
    }
    try {
      run.admit();
      if (run.turn !== undefined) {
        if (this.#forsaken(run)) {
          this.cancel(run, "server", callerLost).catch(() => undefined);
        } else {
          this.#wishForGrace(run);
        }
        run.turnAgain = true;
        run.turn.onPoke?.();
      } else {
        await this.advance(run);
      }
    } finally {
      live.release(run);
    }
  }

  /** Takes turns until the run has ended, waits, or is being advanced already. Never rejects. */
  async advance(run: LiveRun): Promise<void> {
    if (run.turn !== undefined || this.#stopped) {
      return;
    }
    try {
      do {
        run.turnAgain = false;
        await this.#turn(run);
      } while (run.turnAgain && !run.terminal && !run.lost && !this.#stopped);
      if (this.#failedTurns.size > 0) {
        this.#failedTurns.delete(run.id);
      }
    } catch (error) {
      // Nothing may be kept for it that nobody comes for.
      this.#options.standAside(run.id);
      if (!run.lost) {
        // A stage has thrown, or a commit was not allowed: a fault of ours, or one that passes.
        const { log, clock, random } = this.#options;
        const { failure } = classifyError(error, random, clock.now());
        log.error(
          {
            err: error,
            ...runFields(run.record.accepted),
            referenceId: failure.referenceId,
          },
          "a turn failed; the run takes another one later",
        );
        run.refuse(errorFromFailure(failure));
        this.#resume(run);
      }
    } finally {
      this.#options.live.settle(run);
    }
  }

  /** Lets a run whose append has failed go on from what its journal says. Its back-end is told to stop. */
  readAnew(run: LiveRun): void {
    if (!run.acceptanceDurable) {
      // Nobody was told of it, and nothing of it is in the journal.
      return;
    }
    const { turn } = run;
    const message = "the attempt could not be journaled by the server";
    turn?.abort(createError(Code.Aborted, notJournaled, message));
    turn?.conclude({ kind: "interrupted", failure: interrupted(message) });
    this.#delay(retryDelayMs(1), () => {
      // Its back-end may never stop, and the run itself waits for the permit.
      turn?.hold?.end();
      this.#options.scheduler.wake(run.id, 0, run.record.accepted.priority);
      void this.#seeToCallers(run.id);
    });
  }

  /** What was to be journaled when its last caller left may be what was lost. Never rejects. */
  async #seeToCallers(runId: string, failedTries = 0): Promise<void> {
    const { live, log } = this.#options;
    let run: LiveRun | undefined;
    try {
      run = await live.hold(runId);
    } catch {
      // Whoever takes its turn says so.
      this.#delay(retryDelayMs(failedTries), () => void this.#seeToCallers(runId, failedTries + 1));
      return;
    }
    if (run === undefined) {
      return;
    }
    const { accepted, state } = run.record;
    try {
      if (run.callers === 0 && !run.terminal && state !== RunState.CANCELLING) {
        if (accepted.mode === RunMode.ATTACHED) {
          this.cancel(run, "server", callerLost).catch(() => undefined);
        } else if (accepted.mode === RunMode.ATTACHED_KEYED && run.record.orphanedUntilMs === undefined) {
          this.orphan(run);
        }
      }
    } catch (error) {
      log.error({ err: error, ...runFields(accepted) }, "a run that has lost its callers could not be told so");
    } finally {
      live.release(run);
    }
  }

  /** Asks a run to stop. Whether and how it ends is up to its journal; resolves when the request is durable. */
  cancel(run: LiveRun, requestedBy: string, reason: string): Promise<void> {
    const { record, turn } = run;
    if (run.terminal || record.state === RunState.CANCELLING || run.lost) {
      return run.durable;
    }
    this.#options.withdraw(run.id);
    this.#cancelChildren(run);
    if (turn === undefined) {
      run.prepare([cancelRequested(requestedBy, reason)]);
      return this.#endCancelled(run);
    }
    run.commit([cancelRequested(requestedBy, reason)]);
    // The turn may have decided already, and be waiting for that to become durable.
    run.turnAgain = true;
    const { clock } = this.#options;
    const graceMs = this.#policyOf(record)?.cancelGraceMs ?? 0;
    turn.graces ??= [];
    turn.graces.push(clock.setTimeout(() => turn.conclude({ kind: "unacknowledged" }), graceMs));
    const done = run.durable;
    turn.abort(new ConnectError(`the run is being cancelled: ${reason}`, Code.Canceled));
    return done;
  }

  /** A caller attaches; the counterpart of `leave`. */
  join(run: LiveRun): void {
    run.callers += 1;
    if (run.record.orphanedUntilMs !== undefined && !run.terminal) {
      run.commit([rejoined()]);
    }
  }

  /** A caller leaves, for whatever reason. */
  leave(run: LiveRun): void {
    run.callers -= 1;
    const { record } = run;
    if (run.callers === 0 && !run.terminal && !run.lost && record.state !== RunState.CANCELLING) {
      if (record.accepted.mode === RunMode.ATTACHED) {
        this.cancel(run, "caller", callerLost).catch(() => undefined);
      } else if (record.accepted.mode === RunMode.ATTACHED_KEYED && !this.#stopped) {
        this.orphan(run);
      }
    }
    this.#options.live.settle(run);
  }

  /** Gives the callers of a keyed run time to come back. */
  orphan(run: LiveRun): void {
    const { clock, scheduler } = this.#options;
    const graceUntilMs = clock.now() + (this.#policyOf(run.record)?.callerGraceMs ?? 0);
    run.commit([orphaned(graceUntilMs)]);
    scheduler.wake(run.id, graceUntilMs, run.record.accepted.priority);
  }

  /** Resolves when no turn is being taken. */
  idle(): Promise<void> {
    if (this.#active === 0) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
    });
  }

  /** Takes no more turns; those that are being taken are handed back. Resolves when that is durable. */
  async handBack(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#delayed) {
      timer.cancel();
    }
    const failure = createFailure({
      code: Code.Unavailable,
      reason: "HANDED_BACK",
      message: "the server stopped before the attempt had ended; it is retaken by the next one",
    });
    for (const run of [...this.#options.live.values()]) {
      run.turn?.abort(new ConnectError("the server stops", Code.Aborted));
      run.turn?.conclude({ kind: "interrupted", failure });
      // A back-end that does not stop must not keep the process for as long as its run had time.
      run.turn?.expiry?.cancel();
    }
    await this.idle();
    for (const run of [...this.#options.live.values()]) {
      if (!run.terminal && run.record.accepted.mode === RunMode.ATTACHED) {
        this.cancel(run, "server", drained).catch(() => undefined);
      }
    }
    await Promise.allSettled([...this.#options.live.values()].map((run) => run.durable));
  }

  async #turn(run: LiveRun): Promise<void> {
    const entry = this.#entry(run);
    if (entry === undefined) {
      return;
    }
    const { clock, contracts, pauses, breakers, chain } = this.#options;
    const turn = new ActiveTurn(run, clock, this.#loadInput);
    run.turn = turn;
    this.#active++;
    this.#wishForGrace(run);
    try {
      const check = contracts.check(run.record.accepted);
      const contract = check instanceof Promise ? await check : check;
      const staysParked =
        (entry.parkedBy === "contract" && contract.kind === "changed") ||
        (entry.parkedBy === "pause" && pauses.keeps(run.id, run.record.accepted.workflow)) ||
        (entry.parkedBy === "breaker" && contract.kind === "same" && breakers.keeps(run.record, contract.workflow));
      if (staysParked) {
        this.#wish(run);
        return;
      }
      if (run.record.countedFailures > 0) {
        this.#options.retakes.withdraw(run.id);
      }
      if (entry.wake !== undefined && allowsEvent(run.record, "woken")) {
        run.prepare([woken(entry.wake)]);
      }
      if (contract.kind === "changed") {
        this.#options.withdraw(run.id);
        if (run.record.state === RunState.QUEUED) {
          const { workflow } = run.record.accepted;
          this.#options.log.warn(
            { ...runFields(run.record.accepted), workflow, problem: contract.problem },
            "a run is parked: its contract has changed",
          );
          run.commit([parked("contract", `CONTRACT_CHANGED: ${contract.problem}`)]);
          await run.durable;
        }
        if (!run.terminal) {
          this.#wish(run);
        }
        return;
      }
      const outcome =
        run.record.state === RunState.QUEUED || run.record.state === RunState.DELEGATED
          ? await turn.outcome(chain, {
              run: run.record,
              workflow: contract.workflow,
              metadata: run.record.accepted.metadata,
              turn,
            })
          : // It was cancelled while its contract was being compared.
            notStarted;
      await this.#settle(run, turn, outcome, contract.workflow);
    } finally {
      turn.concluded = true;
      for (const grace of turn.graces ?? []) {
        grace.cancel();
      }
      run.turn = undefined;
      if (--this.#active === 0) {
        this.#whenIdle?.();
      }
    }
  }

  /** Lets a run whose turn has failed go on from what its journal says. Never throws. */
  #resume(run: LiveRun): void {
    if (run.terminal || run.unwritten) {
      // Of a run that nobody was told of nothing is left to go on.
      return;
    }
    const { record } = run;
    const { attempt } = record;
    this.#retake(run.id, record.accepted.priority);
    if (attempt === undefined) {
      return;
    }
    try {
      this.#interrupt(run, attempt, "the attempt could not be brought to its end by the server");
    } catch (error) {
      this.#options.log.error(
        { err: error, ...runFields(record.accepted) },
        "an attempt could not be ended; its run resumes at the next start",
      );
    }
  }

  /**
   * Closes an attempt that nobody goes on with. It counts as interruptions do, so a fault that stays does not have attempts
   * made for ever.
   */
  #interrupt(run: LiveRun, attempt: NonNullable<RunRecord["attempt"]>, message: string): void {
    const { record } = run;
    const failure = interrupted(message);
    const attemptMs = Math.max(0, this.#options.clock.now() - attempt.startedMs);
    run.commit(
      record.state === RunState.CANCELLING
        ? [attemptFailed(attempt.number, failure, false, attemptMs)]
        : this.interruption(run, failure, this.#policyOf(record), attemptMs),
    );
    if (run.terminal) {
      this.#cancelChildren(run);
    }
  }

  /** Does something later, unless the server stops before. */
  #delay(delayMs: number, work: () => void): void {
    if (this.#stopped) {
      return;
    }
    const timer = this.#options.clock.setTimeout(() => {
      this.#delayed.delete(timer);
      work();
    }, delayMs);
    this.#delayed.add(timer);
  }

  /** Leaves a wish in the place of one that a failed turn has used up. Returns how many have failed in a row. */
  #retake(runId: string, priority?: number): number {
    const { clock, scheduler } = this.#options;
    const failed = (this.#failedTurns.get(runId) ?? 0) + 1;
    this.#failedTurns.set(runId, failed);
    scheduler.wake(runId, clock.now() + retryDelayMs(failed), priority);
    return failed;
  }

  /** How the run takes a turn now; undefined when it takes none. What makes a turn needless is done. */
  #entry(run: LiveRun): Entry | undefined {
    const { record } = run;
    const nowMs = this.#options.clock.now();
    if (run.terminal || run.lost) {
      this.#options.withdraw(run.id);
      return undefined;
    }
    if (
      record.attempt !== undefined &&
      record.state !== RunState.CANCELLING &&
      this.#endsForsaken(run, record.attempt)
    ) {
      return undefined;
    }
    if (record.state !== RunState.CANCELLING) {
      if (this.#forsaken(run)) {
        this.cancel(run, "server", callerLost).catch(() => undefined);
        return undefined;
      }
      if (record.deadlineMs <= nowMs) {
        this.#options.withdraw(run.id);
        this.#cancelChildren(run);
        run.commit([expired(this.#statistics(run))]);
        return undefined;
      }
    }
    switch (record.state) {
      case RunState.CANCELLING:
        this.#endCancelled(run).catch(() => undefined);
        return undefined;
      case RunState.QUEUED:
      case RunState.DELEGATED:
        return queuedEntry;
      case RunState.BACKING_OFF:
      case RunState.PARKED: {
        const backingOff = record.state === RunState.BACKING_OFF;
        if (record.wakeAtMs !== undefined && record.wakeAtMs > nowMs) {
          // Where it was read anew, nobody counts it.
          if (backingOff) this.#options.retakes.add(run.id, record.accepted.workflow);
          this.#wish(run);
          return undefined;
        }
        return {
          wake: backingOff ? WakeCause.TIMER : WakeCause.GATE,
          parkedBy: backingOff ? undefined : record.wait?.gate,
        };
      }
      default:
        return undefined;
    }
  }

  /** Closes an attempt that is nobody's (rule 5), as the next start would; whether the run has ended by that. */
  #endsForsaken(run: LiveRun, attempt: NonNullable<RunRecord["attempt"]>): boolean {
    const { clock, withdraw } = this.#options;
    const { record } = run;
    const failure = interrupted("the attempt could not be journaled by the server");
    const attemptMs = Math.max(0, record.lastEventMs - attempt.startedMs);
    if (record.deadlineMs <= clock.now()) {
      run.prepare([attemptFailed(attempt.number, failure, false, attemptMs)]);
      return false;
    }
    run.prepare(this.interruption(run, failure, this.#policyOf(record), attemptMs));
    if (run.terminal) {
      withdraw(run.id);
      run.commit();
      this.#cancelChildren(run);
    }
    return run.terminal;
  }

  /** Commits what a turn has come to. Resolves when that is durable. */
  #settle(run: LiveRun, turn: ActiveTurn, outcome: Outcome, workflow: Workflow): Promise<void> | undefined {
    if (run.lost) {
      return undefined;
    }
    const { record } = run;
    const { policy } = workflow;
    if (run.unwritten && (outcome.kind === "blocked" || outcome.kind === "waiting")) {
      const refusal = this.#refusalOf(run, policy, outcome);
      if (refusal !== undefined) {
        this.#options.withdraw(run.id);
        run.discard(refusal);
        this.#options.live.drop(run);
        this.#options.payloads.deleteRuns([run.id]).catch(() => undefined);
        return undefined;
      }
    }
    const bodies = this.#bodies(run, turn, outcome, policy);
    if (
      outcome.kind === "succeeded" &&
      (record.state === RunState.RUNNING || record.state === RunState.DELEGATED) &&
      // By another version of it the message has another shape than those who wait for it can read.
      equalBytes(workflow.contractSha256, record.accepted.contractSha256)
    ) {
      run.resultMessage = outcome.message;
    }
    const { fallback } = record;
    run.commit(bodies);
    if (record.fallback !== undefined && record.fallback !== fallback) {
      // The next turn starts it. What it writes comes behind this in the journal, so nothing need be waited for.
      run.turnAgain = true;
      this.#wish(run);
      return undefined;
    }
    if (run.terminal) {
      if (outcome.kind !== "succeeded") {
        // It may have been let through, or stand in line, and not have come to an attempt.
        this.#options.withdraw(run.id);
      }
      this.#options.scheduler.forget(run.id);
      this.#cancelChildren(run);
    } else {
      this.#wish(run, outcome.kind === "blocked" ? outcome.notBeforeMs : undefined);
      if (record.state === RunState.PARKED && record.wait?.gate === "pause") {
        this.#wakeIfResumed(run);
      }
      if (waitsForRetake(record, outcome)) {
        this.#options.retakes.add(run.id, workflow.name);
      }
    }
    return run.durable;
  }

  #bodies(run: LiveRun, turn: ActiveTurn, outcome: Outcome, policy: Policy): RunEventBody[] {
    const { record } = run;
    const { attemptMs } = turn;
    const close = (failure: Failure, counted: boolean): RunEventBody[] =>
      record.attempt === undefined ? [] : [attemptFailed(record.attempt.number, failure, counted, attemptMs)];
    if (record.state === RunState.CANCELLING) {
      if (record.fallback !== undefined) {
        return [];
      }
      const reason = record.cancelRequest?.reason ?? "";
      const failure = createFailure({ code: Code.Canceled, reason: "CANCELLED", message: reason, retryable: false });
      return [
        ...close(failure, false),
        cancelled(reason, outcome.kind !== "unacknowledged", this.#statistics(run, attemptMs)),
      ];
    }
    switch (outcome.kind) {
      case "succeeded":
        return [succeeded(outcome.result, this.#statistics(run, attemptMs, outcome.fallback))];
      case "failed":
        return [
          ...close(outcome.attemptFailure ?? outcome.failure, true),
          ...(outcome.events ?? []),
          failed(outcome.failure, this.#statistics(run, attemptMs)),
        ];
      case "blocked":
        return [];
      case "waiting":
        return [...(outcome.failure === undefined ? [] : close(outcome.failure, true)), ...outcome.events];
      case "interrupted":
        return this.interruption(run, outcome.failure, policy, attemptMs);
      case "expired": {
        const failure = createFailure({
          code: Code.DeadlineExceeded,
          reason: "DEADLINE",
          message: "the run's deadline has passed",
          retryable: false,
        });
        return [...close(failure, false), expired(this.#statistics(run, attemptMs))];
      }
      case "unacknowledged":
        throw new Error("only a run that is being cancelled can stay unacknowledged");
    }
  }

  /** Ends a run that is being cancelled and has nothing to wait for but its fallback. */
  #endCancelled(run: LiveRun): Promise<void> {
    if (run.record.fallback !== undefined && !this.#stopped) {
      run.commit();
      void this.#endWithFallback(run, run.record.fallback);
      return run.durable;
    }
    const { record } = run;
    const reason = record.cancelRequest?.reason ?? "";
    if (record.attempt !== undefined) {
      // It is nobody's (rule 5): whoever made it would close it.
      const failure = createFailure({ code: Code.Canceled, reason: "CANCELLED", message: reason, retryable: false });
      run.prepare([
        attemptFailed(record.attempt.number, failure, false, record.lastEventMs - record.attempt.startedMs),
      ]);
    }
    run.commit([cancelled(reason, record.fallback === undefined, this.#statistics(run))]);
    this.#options.scheduler.forget(run.id);
    return run.durable;
  }

  /** Ends a run that is being cancelled when its fallback has ended, or the time for that is over. Never rejects. */
  async #endWithFallback(run: LiveRun, { index, childRunId }: FallbackStarted): Promise<void> {
    const { live, clock, scheduler, log } = this.#options;
    const { record } = run;
    run.holders += 1;
    try {
      const child = await live.hold(childRunId);
      if (child !== undefined) {
        live.release(child);
      }
      if (run.terminal || run.lost) {
        return;
      }
      if (child !== undefined) {
        run.follow(child);
      }
      const graceUntilMs = (record.cancelRequestedMs ?? 0) + (this.#policyOf(record)?.cancelGraceMs ?? 0);
      const ended = child === undefined || child.terminal;
      if (!ended) {
        // It may have been started while its parent was being cancelled.
        void this.cancelChild(childRunId, run);
      }
      if (!ended && clock.now() < graceUntilMs) {
        scheduler.wake(run.id, graceUntilMs, record.accepted.priority);
        return;
      }
      const succeeded = child?.record.state === RunState.SUCCEEDED;
      run.commit([
        ...(child === undefined || !ended || succeeded ? [] : [fallbackEnded(index, endFailure(child.record))]),
        cancelled(record.cancelRequest?.reason ?? "", ended, this.#statistics(run)),
      ]);
      scheduler.forget(run.id);
    } catch (error) {
      if (this.#retake(run.id, record.accepted.priority) === 1) {
        log.error(
          { err: error, ...runFields(record.accepted) },
          "a fallback could not be read; its run ends when it can",
        );
      }
    } finally {
      live.release(run);
    }
  }

  /**
   * Ends an attempt that has ended its process as if it failed with this now: by the policy of its workflow. Returns false,
   * and does nothing, while it cannot be told what a fallback would be asked.
   */
  async failLost(run: LiveRun, failure: Failure, workflow: Workflow, attemptMs: number): Promise<boolean> {
    const { clock, afterFailure } = this.#options;
    const turn = new ActiveTurn(run, clock, this.#loadInput);
    if (untriedFallbacks(run.record, workflow.policy).length > 0) {
      try {
        await turn.input();
      } catch (error) {
        if (!isLost(error)) {
          return false;
        }
      }
    }
    turn.workedBefore(attemptMs);
    run.turn = turn;
    try {
      const { metadata } = run.record.accepted;
      const outcome = await turn.outcome(afterFailure(failure), { run: run.record, workflow, metadata, turn });
      await this.#settle(run, turn, outcome, workflow);
      return true;
    } finally {
      turn.concluded = true;
      run.turn = undefined;
    }
  }

  /** What follows when an attempt has ended with its process. */
  interruption(run: LiveRun, failure: Failure, policy: Policy | undefined, attemptMs: number): RunEventBody[] {
    const { record } = run;
    if (record.attempt === undefined) {
      return [];
    }
    const close = attemptFailed(record.attempt.number, failure, false, attemptMs);
    if (record.accepted.mode === RunMode.ATTACHED) {
      return [close];
    }
    const statistics = this.#statistics(run, attemptMs);
    statistics.interruptions += 1;
    if (policy?.onInterrupt === "fail") {
      const reason = createFailure({
        code: Code.Aborted,
        reason: "INTERRUPTED",
        message: "the attempt was interrupted, and the workflow's policy (on_interrupt) forbids to retake it",
        retryable: false,
      });
      return [close, failed(reason, statistics)];
    }
    if (
      policy !== undefined &&
      !isBystanders(failure) &&
      record.interruptionsInRow + 1 >= policy.maxInterruptions &&
      untriedFallbacks(record, policy).length === 0
    ) {
      return [close, failed(crashLoop(policy), statistics)];
    }
    return [close];
  }

  /** Leaves a wish for the next moment at which the run has something to do. */
  #wish(run: LiveRun, notBeforeMs = Number.POSITIVE_INFINITY): void {
    const { record } = run;
    const atMs = Math.min(
      record.deadlineMs,
      record.orphanedUntilMs ?? Number.POSITIVE_INFINITY,
      record.wakeAtMs ?? Number.POSITIVE_INFINITY,
      notBeforeMs,
    );
    if (atMs !== Number.POSITIVE_INFINITY) {
      this.#options.scheduler.wake(run.id, atMs, record.accepted.priority);
    }
  }

  /** A run has one wish at a time: what came first has used up the one for the end of its callers' grace. */
  #wishForGrace({ id, record, callers }: LiveRun): void {
    if (record.orphanedUntilMs !== undefined && callers === 0) {
      this.#options.scheduler.wake(id, record.orphanedUntilMs, record.accepted.priority);
    }
  }

  /** Whoever has resumed the workflow while this turn was deciding has not seen that the run is parked. */
  #wakeIfResumed({ id, record }: LiveRun): void {
    if (this.#options.pauses.of(record.accepted.workflow) === undefined) {
      this.#options.scheduler.wake(id, 0, record.accepted.priority);
    }
  }

  #refusalOf(run: LiveRun, policy: Policy, outcome: Outcome): ConnectError | undefined {
    if (outcome.kind === "waiting") {
      if (outcome.events[0]?.case !== "parked") {
        return undefined;
      }
    } else if (this.#stopped) {
      return draining();
    }
    const { workflow, parentRunId } = run.record.accepted;
    const { queueLimit } = policy.concurrency;
    // A child belongs to a run that has been accepted, so it is never refused.
    return parentRunId === "" && inLine(this.#options, workflow) > queueLimit
      ? queueFull(workflow, queueLimit, this.#options.random)
      : undefined;
  }

  #cancelChildren(run: LiveRun): void {
    const { fallback, children } = run.record;
    if (fallback !== undefined) {
      void this.cancelChild(fallback.childRunId, run);
    }
    for (const child of children.values()) {
      if (child.endState === undefined) {
        void this.cancelChild(child.childRunId, run);
      }
    }
  }

  /** Cancels the child of a run that has ended, or is about to. Never rejects. */
  cancelChild(childRunId: string, parent: LiveRun): Promise<void> {
    return this.cancelById(childRunId, "parent", parentEnded(parent.id), { parent });
  }

  /** Cancels a run whose parent is gone. Never rejects. */
  cancelOrphan(runId: string, parentRunId: string): Promise<void> {
    return this.cancelById(runId, "parent", parentEnded(parentRunId));
  }

  /** Cancels a run that may not be in memory; where it cannot be read, later, and resolves before that. Never rejects. */
  async cancelById(
    runId: string,
    requestedBy: string,
    reason: string,
    { parent, failedTries = 0 }: CancelOptions = {},
  ): Promise<void> {
    const { live, log } = this.#options;
    try {
      const run = await live.hold(runId);
      if (run !== undefined) {
        try {
          if (parent?.lost !== true) {
            if (parent !== undefined) run.follow(parent);
            await this.cancel(run, requestedBy, reason);
          }
        } finally {
          live.release(run);
        }
      }
    } catch (error) {
      if (parent?.lost === true) {
        // The journal knows nothing of its end: read anew, it goes on, and needs its children.
        return;
      }
      if (failedTries === 0) {
        log.error({ err: error, run_id: runId }, "a run could not be cancelled; it is tried again until it can");
      }
      this.#delay(retryDelayMs(failedTries), () => {
        void this.cancelById(runId, requestedBy, reason, { parent, failedTries: failedTries + 1 });
      });
    }
  }

  async #readInput(run: LiveRun): Promise<Uint8Array> {
    const { payloads } = this.#options;
    const bytes = await payloads.get(run.id, run.record.accepted.input?.sha256 ?? new Uint8Array());
    if (bytes === undefined) {
      throw new ConnectError(`the input of run ${run.id} has been deleted`, Code.DataLoss);
    }
    run.input = bytes;
    return bytes;
  }

  #statistics(run: LiveRun, attemptMs = 0, fallback?: Succeeded["fallback"]) {
    const nowMs = this.#options.clock.now();
    return fallback === undefined
      ? runStatistics(run.record, { attemptMs, nowMs })
      : runStatistics(run.record, {
          attemptMs,
          nowMs,
          fallbackUsed: fallback.workflow,
          qualityAchieved: fallback.quality,
        });
  }

  /** Whether nobody has come back to an orphaned run in time. */
  #forsaken(run: LiveRun): boolean {
    const { orphanedUntilMs } = run.record;
    return orphanedUntilMs !== undefined && orphanedUntilMs <= this.#options.clock.now() && run.callers === 0;
  }

  #policyOf(record: RunRecord): Policy | undefined {
    return this.#options.contracts.workflow(record.accepted.workflow)?.policy;
  }
}

function waitsForRetake({ state }: RunRecord, outcome: Outcome): boolean {
  return (
    state === RunState.BACKING_OFF ||
    (state === RunState.QUEUED &&
      outcome.kind === "blocked" &&
      (outcome.gate === "retry_budget" || outcome.gate === "recovery"))
  );
}

type Succeeded = Outcome & { readonly kind: "succeeded" };

interface Entry {
  /** What ends the run's wait, if it waits. */
  readonly wake: WakeCause | undefined;
  /** The gate that has parked it. */
  readonly parkedBy: string | undefined;
}

const queuedEntry: Entry = { wake: undefined, parkedBy: undefined };

/** The turn ends without having entered its chain. */
const notStarted: Outcome = { kind: "blocked", gate: "", reason: "" };

function interrupted(message: string): Failure {
  return createFailure({ code: Code.Unavailable, reason: "INTERRUPTED", message });
}

function parentEnded(parentRunId: string): string {
  return `its parent ${parentRunId} has ended`;
}
