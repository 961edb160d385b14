import { type Message, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { BreakerState } from "../../gen/retake/v1/breaker_pb.js";
import type { Quality } from "../../gen/retake/v1/options_pb.js";
import { type Accepted, type Payload, RunMode, RunState } from "../../gen/retake/v1/run_pb.js";
import type { Clock, RandomSource } from "../clock.ts";
import { artifactIdsIn, type Workflow } from "../contract/index.ts";
import { artifactConnectError } from "./artifacts/connect-error.ts";
import { assertUsable, ownedBy } from "./artifacts/usable-artifacts.ts";
import type { Breakers } from "./breakers/breakers.ts";
import { failsOnOpen } from "./breakers/on-open.ts";
import { equalBytes } from "./equal-bytes.ts";
import { draining, journalUnavailable, keyTaken, queueFull } from "./errors.ts";
import { payloadOf } from "./events.ts";
import { createError } from "./failure.ts";
import type { HeldInputs } from "./held-inputs.ts";
import { inLine, workflowLimitKey } from "./in-line.ts";
import type { LiveRun } from "./live-run.ts";
import type { LiveRuns } from "./live-runs.ts";
import type { Overload } from "./load/overload.ts";
import type { Pauses } from "./pauses.ts";
import type { Artifacts } from "./ports/artifacts.ts";
import type { Gates } from "./ports/gates.ts";
import type { Journal, RunOwner } from "./ports/journal.ts";
import { type Payloads, payloadDigest } from "./ports/payloads.ts";
import type { Retakes } from "./retakes.ts";
import { newRunId } from "./run-id.ts";
import type { RunRecord } from "./run-record.ts";
import { timeAt } from "./storage/positions.ts";
import { msFromDuration, timestampFromMs } from "./time.ts";
import type { Turns } from "./turns.ts";

/** A wish to execute a workflow; its message has been validated. */
export interface RunOrder {
  readonly workflow: Workflow;
  readonly message: Message;
  readonly owner: RunOwner;
  /** Empty for none. */
  readonly key: string;
  readonly mode: RunMode;
  readonly priority?: number;
  readonly minQuality?: Quality;
  /** A deadline sooner than the policy's, in ms from now. */
  readonly timeoutMs?: number;
  readonly traceparent?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly rerunOf?: string;
  /** For a rerun: execute every step again. */
  readonly discardSteps?: boolean;
  /** Where its end is posted to, instead of where the policy says. */
  readonly notifyUrl?: string;
  /** Whether whoever asks may use artifacts of this owner. Default: those that belong to the run's owner, or that the parent keeps. */
  readonly mayUse?: ((owner: RunOwner) => boolean) | undefined;
  /** For children: the id that derives from parent, name and input. */
  readonly child?: ChildOrder;
  /** The run without whose journal, as it is being written, there is no reason for this one. */
  readonly after?: LiveRun;
}

export interface ChildOrder {
  readonly runId: string;
  readonly parentRunId: string;
  readonly name: string;
  /** It has been looked for, and does not exist. Default: it may. */
  readonly isNew?: boolean;
  /** It works in its parent's place. Default: for it. */
  readonly fallback?: boolean;
  /** How many fallbacks led to it. */
  readonly fallbackDepth: number;
}

export interface AcceptedRun {
  /** Held: whoever asked releases it. */
  readonly run: LiveRun;
  /** Whether it existed before. */
  readonly joined: boolean;
}

export interface AcceptanceOptions {
  readonly live: LiveRuns;
  readonly turns: Turns;
  readonly gates: Pick<Gates, "isFull" | "waiting">;
  readonly breakers: Pick<Breakers, "find" | "of">;
  readonly pauses: Pick<Pauses, "of" | "waiting">;
  readonly retakes: Pick<Retakes, "size" | "waiting">;
  readonly inputs: Pick<HeldInputs, "add" | "refusal">;
  /** Attempts at once, over all workflows. */
  readonly concurrencyLimit: number;
  /** Absent where nothing counts as trouble. */
  readonly overload?: Pick<Overload, "refusal"> | undefined;
  readonly journal: Journal;
  readonly payloads: Payloads;
  readonly artifacts: Pick<Artifacts, "get" | "keep" | "list" | "release">;
  readonly clock: Clock;
  readonly random: RandomSource;
  /** Bytes of one message. */
  readonly maxMessageBytes: number;
}

/** How long a server in trouble looks for the run that a key stands for: it is found sooner, or not within the 5 ms of a refusal. */
const patienceMs = 1;

/**
 * Turns orders into runs, or finds the run that an order means already. The acceptance is durable before `run.accepted`
 * resolves, and shares its commit with the first attempt when the gate grants at once.
 */
export class Acceptance {
  readonly #options: AcceptanceOptions;
  /** Orders with the same key come one after the other. */
  readonly #keyed = new Map<string, Promise<void>>();
  /** Those that the journal has not answered in time, nor since: others would wait in vain, and all be answered at once. */
  #overdueLookUps = 0;
  #draining = false;

  constructor(options: AcceptanceOptions) {
    this.#options = options;
    options.journal.onStatus((status) => {
      if (status.kind === "failing") {
        for (const run of options.live.values()) {
          if (!run.acceptanceDurable) {
            run.refuse(journalUnavailable(status.cause));
          }
        }
      }
    });
  }

  /** From now on no new run is accepted. */
  drain(): void {
    this.#draining = true;
  }

  /** At once where no earlier run has to be looked for. @throws ConnectError when the order is refused, also as a rejection */
  accept(order: RunOrder): AcceptedRun | Promise<AcceptedRun> {
    if (order.child !== undefined) {
      return order.child.isNew === true
        ? { run: this.#create(order, this.#encode(order)), joined: false }
        : this.#acceptChild(order, order.child.runId);
    }
    return order.key === "" ? this.#acceptNew(order) : this.#acceptKeyed(order);
  }

  #acceptNew(order: RunOrder): AcceptedRun {
    this.#assertOpen();
    this.#assertRoom(order, this.#shedding(order));
    return { run: this.#create(order, this.#encode(order)), joined: false };
  }

  async #acceptKeyed(order: RunOrder): Promise<AcceptedRun> {
    const { owner, workflow, key } = order;
    const slot = JSON.stringify([owner.tenant, owner.subject, workflow.name, key]);
    const before = this.#keyed.get(slot);
    const mine = (async () => {
      await before;
      return this.#joinOrCreate(order);
    })();
    // The next in line looks the key up once the journal can tell it.
    const findable = mine.then(
      ({ run }) => run.accepted,
      () => undefined,
    );
    this.#keyed.set(slot, findable);
    void findable.then(() => {
      if (this.#keyed.get(slot) === findable) {
        this.#keyed.delete(slot);
      }
    });
    return mine;
  }

  async #joinOrCreate(order: RunOrder): Promise<AcceptedRun> {
    const { journal, live, clock } = this.#options;
    const input = this.#encode(order);
    this.#assertOpen();
    const shedding = this.#shedding(order);
    if (shedding !== undefined && this.#overdueLookUps > 0) {
      throw shedding;
    }
    const found = journal.findRunByKey(order.owner, order.workflow.name, order.key);
    const row = shedding === undefined ? await found : await this.#soon(found, shedding);
    const run = row === undefined ? undefined : await live.hold(row.runId);
    if (run === undefined) {
      this.#assertOpen();
      this.#assertRoom(order, shedding);
      return { run: this.#create(order, input), joined: false };
    }
    const { record } = run;
    if (!samePayload(record.accepted.input, input, this.#options.payloads)) {
      live.release(run);
      throw keyTaken(order.key, order.workflow.name, run.id);
    }
    if (!takesOver(record, clock.now())) {
      return { run, joined: true };
    }
    live.release(run);
    this.#assertOpen();
    this.#assertRoom(order, shedding);
    // The newest run is the one that a key stands for: also where the clock has been set back since the last one.
    return {
      run: this.#create({ ...order, rerunOf: run.id, after: run }, input, timeAt(row?.position ?? 0)),
      joined: false,
    };
  }

  /** A child belongs to a run that has been accepted, so it is taken even by a server that takes no others. */
  async #acceptChild(order: RunOrder, runId: string): Promise<AcceptedRun> {
    const known = await this.#options.live.hold(runId);
    return known === undefined
      ? { run: this.#create(order, this.#encode(order)), joined: false }
      : { run: known, joined: true };
  }

  #create(order: RunOrder, input: Uint8Array, listedFromMs = 0): LiveRun {
    const { live, turns, payloads, inputs, clock, random } = this.#options;
    const isHeld = order.mode !== RunMode.ATTACHED && order.child === undefined;
    const refusal = isHeld ? inputs.refusal(order.owner, input.length) : undefined;
    if (refusal !== undefined) {
      throw refusal;
    }
    const nowMs = clock.now();
    const { policy } = order.workflow;
    const runId = order.child?.runId ?? newRunId(nowMs, random);
    const stored = payloads.put(runId, input, order.workflow.sensitive ? sensitivePut : impatientPut);
    const accepted: Accepted = {
      $typeName: "retake.v1.Accepted",
      runId,
      workflow: order.workflow.name,
      input: payloadOf(order.workflow.input.typeName, stored.sha256, input.length),
      owner: { $typeName: "retake.v1.Owner", tenant: order.owner.tenant, subject: order.owner.subject },
      idempotencyKey: order.key,
      mode: order.mode,
      parentRunId: order.child?.parentRunId ?? "",
      childName: order.child?.name ?? "",
      rerunOf: order.rerunOf ?? "",
      deadline: timestampFromMs(nowMs + Math.min(policy.timeoutMs, order.timeoutMs ?? Number.POSITIVE_INFINITY)),
      contractSha256: order.workflow.contractSha256,
      priority: order.priority ?? 0,
      minQuality: order.minQuality ?? 0,
      traceparent: order.traceparent ?? "",
      metadata: order.metadata ?? {},
      discardSteps: order.discardSteps ?? false,
      notifyUrl: order.notifyUrl ?? "",
      fallback: order.child?.fallback ?? false,
      fallbackDepth: order.child?.fallbackDepth ?? 0,
    };
    const run = live.accept({ case: "accepted", value: accepted }, nowMs, Math.max(nowMs, listedFromMs));
    if (isHeld) {
      inputs.add(accepted);
    }
    run.input = input;
    run.holders += 1;
    if (order.after !== undefined) {
      run.follow(order.after);
    }
    if (order.workflow.inputArtifacts) {
      void this.#advanceWithArtifacts(order, run, stored.stored);
    } else if (stored.stored === undefined) {
      void turns.advance(run);
    } else {
      stored.stored.then(
        () => turns.advance(run),
        (error: unknown) => {
          run.discard(journalUnavailable(error));
          live.drop(run);
        },
      );
    }
    return run;
  }

  /** A run keeps what its input refers to before it is one; if that is not there, it never becomes one. */
  async #advanceWithArtifacts(order: RunOrder, run: LiveRun, stored: Promise<void> | undefined): Promise<void> {
    const { artifacts, live, payloads, turns } = this.#options;
    const ids = artifactIdsIn(order.workflow.input, order.message);
    try {
      await Promise.all([stored, ids.length === 0 ? undefined : this.#keepArtifacts(order, run.id, ids)]);
    } catch (error) {
      run.discard(refusalOf(error));
      live.drop(run);
      await Promise.allSettled([payloads.deleteRuns([run.id]), artifacts.release([run.id])]);
      return;
    }
    void turns.advance(run);
  }

  async #keepArtifacts({ mayUse, owner, child }: RunOrder, runId: string, ids: readonly string[]): Promise<void> {
    const { artifacts } = this.#options;
    await assertUsable(artifacts, ids, { mayUse: mayUse ?? ownedBy(owner), keeper: child?.parentRunId });
    await artifacts.keep(runId, ids);
  }

  #encode(order: RunOrder): Uint8Array {
    const { maxMessageBytes } = this.#options;
    const { input } = order.workflow;
    const bytes = toBinary(input, order.message);
    if (bytes.length > maxMessageBytes) {
      throw tooLarge(input.typeName, bytes.length, maxMessageBytes);
    }
    return bytes;
  }

  /** While the server drains, or cannot store them, it takes no new runs. */
  #assertOpen(): void {
    if (this.#draining) {
      throw draining();
    }
    const { status } = this.#options.journal;
    if (status.kind === "failing") {
      throw journalUnavailable(status.cause);
    }
  }

  /** What a new run is refused with because the server is in trouble; undefined for one that it takes. */
  #shedding({ priority }: RunOrder): ConnectError | undefined {
    return this.#options.overload?.refusal(priority ?? 0);
  }

  /**
   * What has been looked for, if it is found soon: a journal in trouble answers after seconds, and who is refused must hear
   * it at once. @throws the refusal
   */
  #soon<T>(found: Promise<T>, refusal: ConnectError): Promise<T> {
    const { clock } = this.#options;
    return new Promise((resolve, reject) => {
      let isAnswered = false;
      const giveUp = (): void => {
        if (!isAnswered) {
          reject(refusal);
          this.#overdueLookUps += 1;
          const answered = (): void => {
            this.#overdueLookUps -= 1;
          };
          found.then(answered, answered);
        }
      };
      // What has come in while the event loop was late is heard first.
      const timer = clock.setTimeout(() => clock.setImmediate(giveUp), patienceMs);
      const settle = (): void => {
        isAnswered = true;
        timer.cancel();
      };
      found.then(resolve, reject).then(settle, settle);
    });
  }

  /** Refuses what would be refused later, or should be while the server is in trouble, before it has cost anything. */
  #assertRoom(order: RunOrder, shedding: ConnectError | undefined): void {
    const { random } = this.#options;
    const { workflow } = order;
    if (shedding !== undefined) {
      throw shedding;
    }
    const { queueLimit } = workflow.policy.concurrency;
    if (
      this.#wouldWait(order) ? inLine(this.#options, workflow.name) >= queueLimit : this.#hasTooManyRetakes(workflow)
    ) {
      throw queueFull(workflow.name, queueLimit, random);
    }
  }

  /**
   * Whoever works has a place to wait in when it fails. In an outage there is always room for another attempt, which is no
   * reason to take runs for ever; one that an open breaker sends away makes none.
   */
  #hasTooManyRetakes(workflow: Workflow): boolean {
    const { retakes, concurrencyLimit, breakers } = this.#options;
    const { limit, queueLimit } = workflow.policy.concurrency;
    return (
      retakes.size > 0 &&
      retakes.waiting(workflow.name) >= queueLimit + Math.min(limit, concurrencyLimit) &&
      breakers.of(workflow)?.holdsNewcomers !== true
    );
  }

  /** Whether a run would stand in line, as far as that is seen from here. */
  #wouldWait({ workflow, mode }: RunOrder): boolean {
    const { gates, breakers, pauses } = this.#options;
    const { name, policy } = workflow;
    if (policy.concurrency.limit !== Number.POSITIVE_INFINITY && gates.isFull(workflowLimitKey(name))) {
      return true;
    }
    if (pauses.of(name) !== undefined) {
      return true;
    }
    const breaker = breakers.of(workflow);
    if (breaker?.holdsNewcomers !== true) {
      return false;
    }
    // It fails at once, or has a fallback.
    const leaves = failsOnOpen({ mode }, policy) || policy.fallbacks.length > 0;
    return breaker.state === BreakerState.CLOSED || !leaves;
  }
}

/**
 * Whether a new run takes over the key of this one: yes when it was cancelled or expired, or failed in a way that may
 * mend, after its retry delay.
 */
function takesOver(run: RunRecord, nowMs: number): boolean {
  switch (run.state) {
    case RunState.CANCELLED:
    case RunState.EXPIRED:
      return true;
    case RunState.FAILED:
      return run.failure?.retryable === true && nowMs >= (run.endTimeMs ?? 0) + msFromDuration(run.failure.retryDelay);
    default:
      return false;
  }
}

function refusalOf(error: unknown): ConnectError {
  const problem = artifactConnectError(error);
  return problem instanceof ConnectError ? problem : journalUnavailable(error);
}

const impatientPut = { impatient: true };
const sensitivePut = { impatient: true, sensitive: true };

function samePayload(payload: Payload | undefined, bytes: Uint8Array, payloads: Payloads): boolean {
  if (payload?.size !== BigInt(bytes.length)) return false;
  return equalBytes(payload.sha256, payloadDigest(bytes)) || payloads.matches?.(payload.sha256, bytes) === true;
}

function tooLarge(typeName: string, size: number, limit: number): ConnectError {
  return createError(
    Code.ResourceExhausted,
    "MESSAGE_TOO_LARGE",
    `the input (${typeName}) has ${size} bytes, more than the ${limit} that the server takes (max_message_bytes)`,
  );
}
