import { Code } from "@connectrpc/connect";
import { type Failure, RunMode, RunState } from "../../gen/retake/v1/run_pb.js";
import type { Clock } from "../clock.ts";
import { runFields } from "../trace-fields.ts";
import { attemptFailed, cancelled, cancelRequested, expired, orphaned } from "./bodies.ts";
import type { ContractCheck } from "./contract-check.ts";
import type { Crash } from "./crash.ts";
import { runStatistics } from "./events.ts";
import { createFailure } from "./failure.ts";
import type { HeldInputs } from "./held-inputs.ts";
import type { LiveRun } from "./live-run.ts";
import type { LiveRuns } from "./live-runs.ts";
import type { Logger } from "./logger.ts";
import { pastChanges } from "./past-changes.ts";
import { type Journal, JournalUnavailableError } from "./ports/journal.ts";
import type { RunObserver } from "./ports/run-observer.ts";
import type { Scheduler } from "./ports/scheduler.ts";
import { RecoveredLine, type RecoveredWish, wishOf } from "./recovered-line.ts";
import type { Retakes } from "./retakes.ts";
import { runPages } from "./run-pages.ts";
import { openStates, type RunRecord } from "./run-record.ts";
import { callerLost, type Turns } from "./turns.ts";

export interface RecoveryOptions {
  readonly live: LiveRuns;
  readonly turns: Turns;
  readonly journal: Journal;
  readonly scheduler: Scheduler;
  readonly contracts: ContractCheck;
  readonly retakes: Pick<Retakes, "add">;
  readonly inputs: Pick<HeldInputs, "add" | "leaveOut">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly observer?: RunObserver | undefined;
  /** What is known of how the last process ended. */
  readonly crash?: Crash | undefined;
  /** Stops a job that a lost attempt has left behind. Never rejects. */
  cancelJob(run: RunRecord): Promise<void>;
}

export interface Recovered {
  /** Open runs that were found. */
  readonly runs: number;
  /** Of those, attempts that the last process left behind. */
  readonly interrupted: number;
}

/**
 * Takes over what an earlier process left behind, before the first new run is accepted: each open run gets the events
 * that say so, and a wish for its next turn.
 *
 * @throws JournalUnavailableError when one of them cannot be read at the moment
 */
export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const { journal, live, log } = options;
  let runs = 0;
  let interrupted = 0;
  const children: { readonly runId: string; readonly parentRunId: string }[] = [];
  const line = new RecoveredLine(options);
  // Newest first, so what recovery itself moves is not met again.
  for await (const rows of runPages(journal, { states: openStates })) {
    const wishes = await Promise.all(
      rows.map(async (row) => {
        let isRead = false;
        try {
          const run = await live.hold(row.runId);
          isRead = true;
          if (run === undefined) {
            return undefined;
          }
          runs += 1;
          options.inputs.add(run.record.accepted);
          await retell(run, options);
          options.observer?.found(run.record);
          interrupted += run.record.attempt === undefined ? 0 : 1;
          const { parentRunId } = run.record.accepted;
          if (parentRunId !== "") {
            children.push({ runId: run.id, parentRunId });
          }
          try {
            return await recoverRun(run, options);
          } finally {
            live.release(run);
          }
        } catch (error) {
          if (error instanceof JournalUnavailableError) {
            // Left as it is, it would be so until the next start.
            throw error;
          }
          if (!isRead) {
            options.inputs.leaveOut(row.runId);
          }
          log.error({ err: error, run_id: row.runId }, "a run could not be recovered; its journal is left as it is");
          return undefined;
        }
      }),
    );
    for (const wish of wishes) {
      line.add(wish);
    }
  }
  line.wake();
  await cancelOrphans(children, options);
  return { runs, interrupted };
}

/**
 * Cancels children whose parents have ended, now or before the crash: who ends a parent cancels its children after that,
 * and may not have come to it.
 */
async function cancelOrphans(
  children: readonly { readonly runId: string; readonly parentRunId: string }[],
  { live, turns, log }: RecoveryOptions,
): Promise<void> {
  const ended = new Map<string, boolean>();
  for (const { runId, parentRunId } of children) {
    try {
      if (!ended.has(parentRunId)) {
        const parent = await live.hold(parentRunId);
        ended.set(parentRunId, parent?.terminal ?? true);
        if (parent !== undefined) {
          live.release(parent);
        }
      }
    } catch (error) {
      if (error instanceof JournalUnavailableError) {
        throw error;
      }
      log.error({ err: error, run_id: parentRunId }, "a parent could not be read; its children go on");
    }
    if (ended.get(parentRunId) === true) {
      await turns.cancelOrphan(runId, parentRunId);
    }
  }
}

/** Whatever becomes of that, the run goes on. */
async function retell({ id, record }: LiveRun, { journal, observer, log }: RecoveryOptions): Promise<void> {
  if (observer?.retold === undefined) {
    return;
  }
  try {
    const { changes } = await pastChanges(journal, id);
    observer.retold(record, changes);
  } catch (error) {
    log.warn(
      { err: error, ...runFields(record.accepted) },
      "what has happened to a run could not be read again for its trace",
    );
  }
}

/** Resolves with what the run wants next, if anything. */
async function recoverRun(run: LiveRun, options: RecoveryOptions): Promise<RecoveredWish | undefined> {
  const { turns, contracts, clock, log } = options;
  const { record } = run;
  const nowMs = clock.now();
  const workflow = contracts.workflow(record.accepted.workflow);
  if (workflow === undefined) {
    log.warn(
      { ...runFields(record.accepted), workflow: record.accepted.workflow },
      "an open run belongs to a workflow that this server does not have; it is parked",
    );
  }
  const failure = interruption(record, options.crash);
  // How long the attempt took is not known; up to its last event it was surely at work.
  const attemptMs = record.attempt === undefined ? 0 : Math.max(0, record.lastEventMs - record.attempt.startedMs);
  const close = record.attempt === undefined ? [] : [attemptFailed(record.attempt.number, failure, false, attemptMs)];
  const statistics = runStatistics(record, { attemptMs, nowMs });

  if (record.state === RunState.CANCELLING) {
    await options.cancelJob(record);
    run.commit([...close, cancelled(record.cancelRequest?.reason ?? "", false, statistics)]);
    await run.durable;
    return undefined;
  }
  if (record.deadlineMs <= nowMs) {
    await options.cancelJob(record);
    run.commit([...close, expired(statistics)]);
    await run.durable;
    return undefined;
  }
  if (record.accepted.mode === RunMode.ATTACHED) {
    await options.cancelJob(record);
    run.commit([cancelRequested("server", callerLost), ...close, cancelled(callerLost, false, statistics)]);
    await run.durable;
    return undefined;
  }
  const crash = record.attempt?.token === options.crash?.token ? options.crash : undefined;
  const isFailed =
    crash !== undefined && workflow !== undefined && (await turns.failLost(run, crash.failure, workflow, attemptMs));
  if (!isFailed) {
    run.prepare(turns.interruption(run, failure, workflow?.policy, attemptMs));
  }
  if (record.accepted.mode === RunMode.ATTACHED_KEYED && record.orphanedUntilMs === undefined && !run.terminal) {
    run.prepare([orphaned(nowMs + (workflow?.policy.callerGraceMs ?? 0))]);
  }
  run.commit();
  await run.durable;
  if (run.terminal) {
    return undefined;
  }
  if (record.state === RunState.BACKING_OFF) {
    options.retakes.add(run.id, record.accepted.workflow);
  }
  return wishOf(record);
}

/** What an attempt has failed with that the last process left behind. */
function interruption({ accepted, attempt }: RunRecord, crash: Crash | undefined): Failure {
  // What an earlier attempt has left behind is an error of the run's own.
  const bystander =
    attempt !== undefined && crash !== undefined && accepted.runId !== crash.runId && attempt.startedMs <= crash.atMs;
  return createFailure({
    code: Code.Unavailable,
    reason: bystander ? "INTERRUPTED_BY_ANOTHER_RUN" : "INTERRUPTED",
    message: bystander
      ? "the server was stopped by an error of another run while the attempt was being made"
      : "the server stopped while the attempt was being made",
  });
}
