import type { Message } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import type { RunProgress } from "../../gen/retake/v1/run_service_pb.js";
import type { Clock } from "../clock.ts";
import type { ActiveTurn } from "./active-turn.ts";
import { journalUnavailable } from "./errors.ts";
import { encodeEvent } from "./event-encoder.ts";
import type { HeldInputs } from "./held-inputs.ts";
import type { LateCommits } from "./late-commits.ts";
import type { Feed } from "./ports/feed.ts";
import { type Journal, type RunIndexEntry, runStream, type StreamAppend } from "./ports/journal.ts";
import type { Outbox } from "./ports/outbox.ts";
import type { RunChange, RunObserver } from "./ports/run-observer.ts";
import { acceptedRun, applyNext, isTerminal, type RunEventBody, type RunRecord } from "./run-record.ts";
import { eventTimeMs } from "./time.ts";

/** What a live run needs of its surroundings. */
export interface LiveRunPorts {
  readonly journal: Journal;
  readonly feed: Feed;
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly late: LateCommits;
  readonly inputs: Pick<HeldInputs, "remove">;
  /** Absent where nobody watches. */
  readonly observer?: RunObserver | undefined;
  /** When retention may delete a run that has just ended. */
  retireAtMs(run: RunRecord): number | undefined;
  /** Told when a fallback has ended: what its parent makes of that comes behind it in the journal. */
  onFallbackEnded(run: LiveRun): void;
  /** Told when an append has failed: what is in memory is no longer what the journal says. */
  onLost(run: LiveRun, error: unknown): void;
}

/**
 * One run in this process: the only place where its events are made. An event takes effect here when it is ordered, and
 * is seen by nobody else before it is durable; when an append fails, the live run is given up and read anew.
 */
export class LiveRun {
  readonly id: string;
  readonly record: RunRecord;
  /** The turn that is being taken, if any. */
  turn: ActiveTurn | undefined;
  /** Another turn was asked for while one was being taken. */
  turnAgain = false;
  /** Callers that are attached. */
  callers = 0;
  /** What its caller's deadline leaves, where it has one and the run ends with its caller. */
  callerTimeoutMs: (() => number | undefined) | undefined;
  /** Others that need the run in memory. */
  holders = 0;
  /** The serialised input, as long as it is at hand. */
  input: Uint8Array | undefined;
  /** The newest progress, and the newest update that is not journaled, of the newest attempt: for those who join. */
  latestProgress: RunProgress | undefined;
  latestUpdate: Uint8Array | undefined;
  /** The result, for the callers of this moment. */
  resultMessage: Message | undefined;
  /** An append has failed: the journal says something else than memory. */
  lost = false;
  /** Why callers get no answer from this run here, although it has not ended. */
  refusal: ConnectError | undefined;
  /** Whether its acceptance is durable. */
  acceptanceDurable = false;

  readonly #ports: LiveRunPorts;
  readonly #stream: string;
  #create: RunIndexEntry | undefined;
  #prepared: Uint8Array[] | undefined;
  /** Whether what is prepared is to be appended by the end of this turn of the event loop. */
  #isLate = false;
  /** What is appended comes behind what this run has written, and is not stored without it. */
  #behind: LiveRun | undefined;
  /** The events among them that an observer does not ignore. */
  #changes: RunChange[] | undefined;
  #written: number;
  /** Those who wait for what was written up to a number to be durable, in order. */
  #waiting: { readonly sequence: number; readonly deferred: PromiseWithResolvers<void> }[] | undefined;
  /** Why an append has failed. */
  #failure: unknown;
  #endDurable = false;
  #accepted: Deferred | undefined;
  #ended: Deferred | undefined;
  #onEnded: (() => void) | undefined;
  /** Appends that are not durable. */
  #appending = 0;

  private constructor(ports: LiveRunPorts, record: RunRecord, written: number) {
    this.#ports = ports;
    this.record = record;
    this.id = record.accepted.runId;
    this.#stream = runStream(this.id);
    this.#written = written;
  }

  /**
   * A new run; nothing of it is in the journal until the first `commit`.
   *
   * @param listedMs the time that it is listed under among others
   */
  static accept(
    ports: LiveRunPorts,
    body: RunEventBody & { case: "accepted" },
    nowMs: number,
    listedMs: number,
  ): LiveRun {
    const run = new LiveRun(ports, acceptedRun(body.value, eventTimeMs(nowMs)), 0);
    const { runId, workflow, owner, idempotencyKey, parentRunId } = body.value;
    const create: Writable<RunIndexEntry> = {
      runId,
      workflow,
      owner: { tenant: owner?.tenant ?? "", subject: owner?.subject ?? "" },
      createTimeMs: Math.floor(listedMs),
    };
    if (idempotencyKey !== "") {
      create.key = idempotencyKey;
    }
    if (parentRunId !== "") {
      create.parentRunId = parentRunId;
    }
    run.#create = create;
    run.#prepared = [encodeEvent(body, 1, nowMs)];
    if (ports.observer !== undefined) {
      const { state: after, createTimeMs: timeMs } = run.record;
      run.#changes = [{ body, timeMs, before: 0, after, sinceMs: timeMs, attempt: undefined }];
    }
    return run;
  }

  /** A run that the journal holds. */
  static restore(ports: LiveRunPorts, record: RunRecord): LiveRun {
    const run = new LiveRun(ports, record, record.lastSequence);
    run.acceptanceDurable = true;
    run.#endDurable = run.terminal;
    return run;
  }

  get terminal(): boolean {
    return isTerminal(this.record.state);
  }

  /** Resolves when everything that has happened up to now is durable; rejects when that cannot be. */
  get durable(): Promise<void> {
    this.commitLate();
    if (this.#appending === 0) {
      return this.#failure === undefined ? Promise.resolve() : Promise.reject(this.#failure);
    }
    this.#waiting ??= [];
    let last = this.#waiting.at(-1);
    if (last?.sequence !== this.#written) {
      last = { sequence: this.#written, deferred: Promise.withResolvers() };
      this.#waiting.push(last);
    }
    return last.deferred.promise;
  }

  /** Resolves when the acceptance is durable, or the run is refused. */
  get accepted(): Promise<void> {
    if (this.acceptanceDurable || this.refusal !== undefined) {
      return Promise.resolve();
    }
    this.#accepted ??= deferred();
    return this.#accepted.promise;
  }

  /** Resolves when the run has ended and its end is durable, or the run is refused. */
  get ended(): Promise<void> {
    if (this.#endDurable || this.refusal !== undefined) {
      return Promise.resolve();
    }
    this.#ended ??= deferred();
    return this.#ended.promise;
  }

  /** Calls back when `ended` resolves; for the caller that has started the run, since a promise more is not free. */
  whenEnded(callback: () => void): void {
    if (this.#onEnded === undefined && !this.#endDurable && this.refusal === undefined) {
      this.#onEnded = callback;
    } else {
      void this.ended.then(callback);
    }
  }

  /** Whether everything that has happened is durable. */
  get quiet(): boolean {
    return this.#appending === 0 && !this.#isLate;
  }

  /** Whether nothing of it is in the journal yet. */
  get unwritten(): boolean {
    return this.#written === 0;
  }

  /** Answers all who wait for this run in this process; the run itself may go on. */
  refuse(error: ConnectError): void {
    this.refusal ??= error;
    this.#accepted?.resolve();
    this.#tellEnded();
  }

  /** Takes a refusal back, for a turn that follows one that has failed: whoever joins from now on waits for its end. */
  admit(): void {
    if (this.refusal !== undefined && this.acceptanceDurable && !this.lost) {
      this.refusal = undefined;
      this.#ended = undefined;
    }
  }

  /** Gives up a run of which nothing has been written. */
  discard(error: ConnectError): void {
    this.lost = true;
    this.#ports.inputs.remove(this.record.accepted);
    this.refuse(error);
  }

  /** Lets events happen that the next `commit` appends with its own. @throws IllegalEventError */
  prepare(bodies: readonly RunEventBody[]): void {
    const nowMs = this.#ports.clock.now();
    for (const body of bodies) {
      const { state: before, stateSinceMs: sinceMs, attempt } = this.record;
      applyNext(this.record, body, eventTimeMs(nowMs));
      const { observer } = this.#ports;
      if (observer !== undefined && observer.ignores?.has(body.case) !== true) {
        const { state: after, lastEventMs: timeMs } = this.record;
        this.#changes ??= [];
        this.#changes.push({ body, timeMs, before, after, sinceMs, attempt });
      }
      const encoded = encodeEvent(body, this.record.lastSequence, nowMs);
      if (this.#prepared === undefined) {
        this.#prepared = [encoded];
      } else {
        this.#prepared.push(encoded);
      }
    }
  }

  /**
   * From now on, what is appended says something that is only so if the journal says what another run has come to: where an
   * append of that run fails, so do those that were ordered behind it here.
   */
  follow(other: LiveRun): void {
    this.#behind = other;
  }

  /** Appends what was prepared, then these events, at once and in order. `durable` tells when that is done. */
  commit(bodies: readonly RunEventBody[] = []): void {
    if (this.lost) {
      return;
    }
    this.prepare(bodies);
    const records = this.#prepared;
    if (records === undefined) {
      return;
    }
    this.#prepared = undefined;
    this.#isLate = false;
    const changes = this.#changes ?? noChanges;
    this.#changes = undefined;
    const { observer } = this.#ports;
    const orderedMs = observer === undefined ? 0 : this.#ports.clock.monotonic();
    const { terminal } = this;
    const retireAtMs = terminal ? this.#ports.retireAtMs(this.record) : undefined;
    const told = terminal ? this.#ports.outbox.endOf(this.record) : undefined;
    const append: Writable<StreamAppend> = {
      stream: this.#stream,
      expectedSequence: this.#written,
      records,
      state: this.record.state,
    };
    if (retireAtMs !== undefined) {
      append.retireAtMs = retireAtMs;
    }
    const impatient = this.#create !== undefined;
    if (this.#create !== undefined) {
      append.create = this.#create;
      this.#create = undefined;
    }
    const appends = told === undefined ? [append] : [append, told];
    const behind = this.#behind;
    if (behind !== undefined) {
      // Once: what this run appends behind that is stored with it, or not, and what becomes of the other one is no matter of it.
      this.#behind = undefined;
      this.#demand(behind, appends);
    }
    this.#written += records.length;
    this.#appending++;
    const lastSequence = this.#written;
    this.#ports.journal.order(
      appends,
      (failure) => {
        this.#appending--;
        if (failure !== undefined) {
          this.#lose(failure);
          return;
        }
        this.#onDurable(lastSequence, terminal);
        observer?.committed(this.record, changes, this.#ports.clock.monotonic() - orderedMs);
        if (told !== undefined) {
          this.#ports.outbox.stored(this.record);
        }
      },
      impatient ? impatiently : undefined,
    );
    if (terminal && this.record.accepted.fallback) {
      this.#ports.onFallbackEnded(this);
    }
  }

  /**
   * Like `commit`, but the append waits for what else happens to the run in this turn of the event loop, as long as nobody
   * asks whether it is durable: what follows at once shares it.
   */
  commitSoon(bodies: readonly RunEventBody[]): void {
    if (this.lost) {
      return;
    }
    this.prepare(bodies);
    this.#isLate = true;
    this.#ports.late.add(this);
  }

  /** Appends what `commitSoon` has left. */
  commitLate(): void {
    if (this.#isLate) {
      this.commit();
    }
  }

  #demand(other: LiveRun, appends: StreamAppend[]): void {
    other.commitLate();
    if (other.quiet && !other.lost) {
      return;
    }
    // What is read anew may come to stand where the lost one thought it was.
    appends.push({ stream: other.#stream, expectedSequence: other.lost ? nowhere : other.#written, records: [] });
  }

  #onDurable(lastSequence: number, terminal: boolean): void {
    if (!this.acceptanceDurable) {
      this.acceptanceDurable = true;
      this.#accepted?.resolve();
      if (this.refusal !== undefined) {
        // It has been stored after all: whoever was refused and calls again joins it, and waits for its end anew.
        this.refusal = undefined;
        this.#ended = undefined;
      }
    }
    if (this.#ports.feed.listeners(this.id) > 0) {
      this.#ports.feed.publish(this.id, { kind: "events", lastSequence });
    }
    if (terminal) {
      this.#endDurable = true;
      this.#ports.inputs.remove(this.record.accepted);
      this.#tellEnded();
    }
    for (
      let first = this.#waiting?.[0];
      first !== undefined && first.sequence <= lastSequence;
      first = this.#waiting?.[0]
    ) {
      this.#waiting?.shift();
      first.deferred.resolve();
    }
  }

  #tellEnded(): void {
    this.#ended?.resolve();
    this.#onEnded?.();
    this.#onEnded = undefined;
  }

  #lose(error: unknown): void {
    this.#isLate = false;
    this.#failure ??= error;
    for (const { deferred } of this.#waiting?.splice(0) ?? []) {
      deferred.reject(error);
    }
    if (!this.lost) {
      this.lost = true;
      if (!this.acceptanceDurable) {
        this.#ports.inputs.remove(this.record.accepted);
      }
      this.refuse(journalUnavailable(error));
      this.#ports.onLost(this, error);
    }
  }
}

/** Built up field by field: to spread what may be missing costs more than the rest. */
type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

const impatiently = { impatient: true };
/** More records than a stream ever has. */
const nowhere = Number.MAX_SAFE_INTEGER;
const noChanges: readonly RunChange[] = [];

interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

function deferred(): Deferred {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
