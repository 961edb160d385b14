import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type Message,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  AttemptCheckpointSchema,
  ChildEndedSchema,
  ChildStartedSchema,
  type Payload,
  type Progress,
  ProgressSampledSchema,
  ProgressSchema,
  RunMode,
  RunState,
  type StepCompleted,
  StepCompletedSchema,
  UpdateRecordedSchema,
} from "../../gen/retake/v1/run_pb.js";
import { type RunProgress, RunProgressSchema } from "../../gen/retake/v1/run_service_pb.js";
import type { Clock, RandomSource } from "../clock.ts";
import {
  artifactIdsIn,
  carriesArtifacts,
  hasSensitiveFields,
  type Workflow,
  withoutTexts,
  workflowName,
} from "../contract/index.ts";
import { sleep } from "../sleep.ts";
import type { HandlerMetrics } from "../user-metrics.ts";
import type { Acceptance } from "./acceptance.ts";
import type { ActiveTurn } from "./active-turn.ts";
import { artifactConnectError } from "./artifacts/connect-error.ts";
import { createRunArtifacts, type RunArtifacts } from "./artifacts/run-artifacts.ts";
import { backoffMs } from "./backoff.ts";
import type { ContractCheck } from "./contract-check.ts";
import { endError } from "./end-error.ts";
import { payloadOf } from "./events.ts";
import { createError } from "./failure.ts";
import { classifyError } from "./failures/classify.ts";
import type { Attempt } from "./handler.ts";
import type { JournaledSteps } from "./journaled-steps.ts";
import type { LiveRun } from "./live-run.ts";
import type { LiveRuns } from "./live-runs.ts";
import { NameSet } from "./name-set.ts";
import { ownTraceparent } from "./own-traceparent.ts";
import type { Artifacts } from "./ports/artifacts.ts";
import type { Feed } from "./ports/feed.ts";
import { digestOf, type Payloads } from "./ports/payloads.ts";
import { childRunId } from "./run-id.ts";
import { durationFromMs, msFromDuration } from "./time.ts";
import { untilAborted } from "./until-aborted.ts";

export interface AttemptWorkServices {
  readonly live: LiveRuns;
  readonly acceptance: Pick<Acceptance, "accept">;
  readonly contracts: ContractCheck;
  readonly payloads: Payloads;
  readonly artifacts: Artifacts;
  readonly feed: Feed;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly maxMessageBytes: number;
  readonly metrics: HandlerMetrics;
  /** @throws ConnectError INVALID_ARGUMENT */
  validate(schema: DescMessage, message: Message): void;
  /** Cancels the child of a run that has ended, or is about to. Never rejects. */
  cancelChild(childRunId: string, parent: LiveRun): Promise<void>;
}

/** How a failed step is tried again within its attempt. Durations in ms. */
export interface StepRetry {
  /** Tries in all. Default: 3. */
  readonly maxAttempts?: number;
  /** Default: 1,000. */
  readonly initialBackoffMs?: number;
  /**
   * Default: 60,000. A back-end that asks for a longer wait fails the attempt: the run waits then, and holds nothing back
   * from others.
   */
  readonly maxBackoffMs?: number;
  /** Default: 2. */
  readonly backoffMultiplier?: number;
}

export interface StepOptions {
  /** Default: a failed step fails its attempt. */
  readonly retry?: StepRetry;
  /** How long one try may take, in ms. Default: as long as the attempt. */
  readonly timeoutMs?: number;
  /** What the result depends on; the journaled result is kept as long as this is the same. Default: the run's input. */
  readonly input?: Uint8Array | string;
}

/** What a step's function gets. */
export interface StepTry {
  /** Aborted when the try's time is over, or the attempt must stop. */
  readonly signal: AbortSignal;
  /** 1, 2, 3, … */
  readonly number: number;
}

const noOptions: StepOptions = {};

/** The journal gets progress no more often than this: watchers get it at once. */
const sampleIntervalMs = 5_000;
const maxHandleBytes = 4096;
const maxNameLength = 256;

/** What one attempt does to its run: progress, updates, checkpoints, steps, children. */
export class AttemptWork {
  readonly run: LiveRun;
  readonly workflow: Workflow;
  readonly attempt: Attempt;
  readonly turn: ActiveTurn;
  /** Texts of the request that are marked `debug_redact`: they go into no event. */
  withheld: readonly string[] = [];
  readonly #services: AttemptWorkServices;
  /** Of steps and children that the attempt has named. */
  #steps: NameSet | undefined;
  #children: NameSet | undefined;
  #sampledMs = Number.NEGATIVE_INFINITY;
  #kept: Promise<JournaledSteps | undefined> | undefined;

  constructor(run: LiveRun, turn: ActiveTurn, workflow: Workflow, attempt: Attempt, services: AttemptWorkServices) {
    this.run = run;
    this.turn = turn;
    this.workflow = workflow;
    this.attempt = attempt;
    this.#services = services;
  }

  get clock(): Clock {
    return this.#services.clock;
  }

  get metrics(): HandlerMetrics {
    return this.#services.metrics;
  }

  /** Tells how far the attempt is. Never throws for an attempt that is over, or must stop: its words are dropped. */
  progress(init: MessageInitShape<typeof ProgressSchema>): void {
    if (!this.#heard) {
      return;
    }
    const progress = boundedProgress(this.workflow.sensitive ? this.#withheldFrom(init) : init);
    const { feed, clock } = this.#services;
    const snapshot: RunProgress = create(RunProgressSchema, {
      attempt: this.attempt.number,
      lastSequence: BigInt(this.run.record.lastSequence),
      progress,
    });
    this.run.latestProgress = snapshot;
    this.turn.activity?.moved();
    const nowMs = clock.monotonic();
    if (nowMs - this.#sampledMs >= sampleIntervalMs) {
      this.#sampledMs = nowMs;
      this.run.commit([
        {
          case: "progressSampled",
          value: create(ProgressSampledSchema, { attempt: this.attempt.number, progress }),
        },
      ]);
    }
    if (feed.listeners(this.run.id) > 0) {
      feed.publish(this.run.id, { kind: "progress", progress: snapshot });
    }
  }

  #withheldFrom(init: MessageInitShape<typeof ProgressSchema>): MessageInitShape<typeof ProgressSchema> {
    const { stage = "", message = "" } = init;
    return { ...init, stage: withoutTexts(stage, this.withheld), message: withoutTexts(message, this.withheld) };
  }

  /** A marked update: kept as its contract says. Resolves when the next one may come. */
  async update(message: Message, keep: "latest" | "all"): Promise<void> {
    if (!this.#heard) {
      return;
    }
    this.turn.activity?.moved();
    const bytes = toBinary(this.workflow.output, message);
    if (this.workflow.outputArtifacts) {
      await this.#keepArtifacts(this.workflow.output, message);
    }
    if (keep === "latest") {
      this.run.latestUpdate = bytes;
      this.#services.feed.publish(this.run.id, { kind: "update", attempt: this.attempt.number, message: bytes });
      return;
    }
    const update = await this.#store(this.workflow.output.typeName, bytes);
    if (this.#heard) {
      this.run.commit([
        { case: "updateRecorded", value: create(UpdateRecordedSchema, { attempt: this.attempt.number, update }) },
      ]);
      await this.run.durable;
    }
  }

  /** Journals the back-end's handle of its job. Resolves when it is durable. */
  async checkpoint(handle: Uint8Array): Promise<void> {
    if (handle.length > maxHandleBytes) {
      throw createError(
        Code.InvalidArgument,
        "CHECKPOINT_TOO_LARGE",
        `a checkpoint has at most ${maxHandleBytes} bytes, and this one has ${handle.length}: keep an id, not the job`,
      );
    }
    this.#assertCurrent();
    this.turn.activity?.moved();
    const kept = (this.workflow.sensitive && this.#services.payloads.sealHandle?.(handle)) || handle;
    this.run.commit([
      {
        case: "attemptCheckpoint",
        value: create(AttemptCheckpointSchema, { attempt: this.attempt.number, handle: kept }),
      },
    ]);
    await this.run.durable;
  }

  /** A handle as the back-end gave it, of one that is journaled. */
  handle(journaled: Uint8Array): Uint8Array {
    return this.#services.payloads.openHandle?.(journaled) ?? journaled;
  }

  /**
   * A result that is journaled once, under the step's name and the digest of what it depends on.
   *
   * 1. A journaled step is never executed again; its result is read back.
   * 2. A step's function starts only after all earlier events of the run are durable, so no effect builds on a result that
   *    a crash could take back.
   */
  async step<Desc extends DescMessage>(
    name: string,
    schema: Desc,
    execute: (one: StepTry) => Promise<MessageInitShape<Desc>> | MessageInitShape<Desc>,
    options: StepOptions = noOptions,
  ): Promise<MessageShape<Desc>> {
    this.#claim(name, "step");
    const digest = options.input === undefined ? this.attempt.inputSha256 : this.#digest(toBytes(options.input));
    const journaled = this.run.record.steps.get(name, digest);
    if (journaled !== undefined || this.run.record.accepted.rerunOf !== "") {
      const message = await this.#recall(name, digest, schema, journaled);
      if (message !== undefined) {
        return message;
      }
    }
    if (!this.run.quiet) {
      await this.run.durable;
    }
    this.#assertCurrent();
    const startedMs = this.clock.monotonic();
    let message: MessageShape<Desc>;
    let tries = 1;
    if (options.retry === undefined && options.timeoutMs === undefined) {
      message = stepMessage(name, schema, await execute(new PlainTry(this.turn, 1)));
    } else {
      ({ message, tries } = await this.#tryStep(name, schema, execute, options));
    }
    const executionMs = this.clock.monotonic() - startedMs;
    this.#assertCurrent();
    if (carriesArtifacts(schema)) {
      await this.#keepArtifacts(schema, message);
    }
    const stored = this.#store(schema.typeName, toBinary(schema, message), hasSensitiveFields(schema));
    const result = stored instanceof Promise ? await stored : stored;
    this.#assertCurrent();
    this.turn.activity?.moved();
    this.run.commitSoon([
      {
        case: "stepCompleted",
        value: {
          $typeName: "retake.v1.StepCompleted",
          name,
          inputSha256: digest,
          result,
          executionTime: durationFromMs(executionMs),
          tries,
          keptFrom: "",
        },
      },
    ]);
    return message;
  }

  /** The result of a step that this run, or the one that it takes over from, has journaled; undefined when it is gone. */
  async #recall<Desc extends DescMessage>(
    name: string,
    digest: Uint8Array,
    schema: Desc,
    journaled: StepCompleted | undefined,
  ): Promise<MessageShape<Desc> | undefined> {
    const known = journaled ?? (await this.#keptSteps())?.get(name, digest);
    if (known?.result === undefined) {
      return undefined;
    }
    const owner = journaled === undefined ? this.run.record.accepted.rerunOf : this.run.id;
    const bytes = await this.#services.payloads.get(owner, known.result.sha256);
    if (bytes === undefined || known.result.typeName !== schema.typeName) {
      return undefined;
    }
    const message = fromBinary(schema, bytes);
    if (journaled === undefined) {
      if (carriesArtifacts(schema) && !(await this.#canKeepArtifacts(schema, message))) {
        return undefined;
      }
      await this.#keep(known, bytes);
    }
    return message;
  }

  /** Executes another workflow as a child. While it works, this attempt gives its permit back and its clock stands. */
  async call<I extends DescMessage, O extends DescMessage>(
    name: string,
    method: DescMethod & { readonly input: I; readonly output: O },
    input: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    this.#claim(name, "child");
    const { contracts, acceptance, live } = this.#services;
    const workflow = contracts.workflow(workflowName(method));
    if (workflow === undefined) {
      throw createError(
        Code.FailedPrecondition,
        "UNKNOWN_WORKFLOW",
        `${workflowName(method)} is no workflow of this server: implement its service, or give the method the option (retake.v1.workflow)`,
      );
    }
    const message = create(method.input, input);
    this.#services.validate(method.input, message);
    const { record } = this.run;
    const digest = this.#digest(toBinary(method.input, message), workflow.sensitive);
    const runId = childRunId(this.run.id, name, digest);
    if (record.children.get(name)?.childRunId !== runId) {
      this.run.commit([
        {
          case: "childStarted",
          value: create(ChildStartedSchema, { name, childRunId: runId, workflow: workflow.name }),
        },
      ]);
    }
    const { run: child } = await acceptance.accept({
      workflow,
      message,
      owner: { tenant: record.accepted.owner?.tenant ?? "", subject: record.accepted.owner?.subject ?? "" },
      key: "",
      mode: RunMode.DETACHED,
      priority: record.accepted.priority,
      minQuality: record.accepted.minQuality,
      timeoutMs: record.deadlineMs - this.clock.now(),
      traceparent: ownTraceparent(record.accepted),
      metadata: record.accepted.metadata,
      child: { runId, parentRunId: this.run.id, name, fallbackDepth: record.accepted.fallbackDepth },
      after: this.run,
    });
    if (record.state === RunState.CANCELLING || this.run.terminal) {
      // Whoever ended the parent meanwhile has not found it.
      void this.#services.cancelChild(child.id, this.run);
    }
    try {
      await this.turn.paused(() => untilAborted(child.ended, this.turn.signal));
      this.#assertCurrent();
      if (child.refusal !== undefined) {
        throw child.refusal;
      }
      return (await this.#childResult(name, child, method.output)) as MessageShape<O>;
    } finally {
      live.release(child);
    }
  }

  /** Stores the attempt's result; at once, unless it is large. */
  result(message: Message): Payload | Promise<Payload> {
    const bytes = toBinary(this.workflow.output, message);
    const { maxMessageBytes } = this.#services;
    if (bytes.length > maxMessageBytes) {
      throw createError(
        Code.ResourceExhausted,
        "RESULT_TOO_LARGE",
        `the result (${this.workflow.output.typeName}) has ${bytes.length} bytes, more than the ${maxMessageBytes} that a message may have (max_message_bytes): return a reference to it instead`,
      );
    }
    if (this.workflow.outputArtifacts) {
      return this.#keepArtifacts(this.workflow.output, message).then(() =>
        this.#store(this.workflow.output.typeName, bytes),
      );
    }
    return this.#store(this.workflow.output.typeName, bytes);
  }

  /** The artifacts that the attempt reads and makes. */
  artifacts(): RunArtifacts {
    const { artifacts, validate } = this.#services;
    const { owner } = this.run.record.accepted;
    return createRunArtifacts({
      artifacts,
      runId: this.run.id,
      owner: { tenant: owner?.tenant ?? "", subject: owner?.subject ?? "" },
      signal: this.turn.signal,
      onActivity: () => this.turn.activity?.moved(),
      validate,
    });
  }

  /** Lets the run keep what a message refers to, before anything refers to that message. */
  async #keepArtifacts(schema: DescMessage, message: Message): Promise<void> {
    const ids = artifactIdsIn(schema, message);
    if (ids.length > 0) {
      try {
        await this.#services.artifacts.keep(this.run.id, ids);
      } catch (error) {
        throw artifactConnectError(error);
      }
    }
  }

  /** Whether what a step of an earlier run refers to is still there; without it, the step is executed again. */
  async #canKeepArtifacts(schema: DescMessage, message: Message): Promise<boolean> {
    try {
      await this.#keepArtifacts(schema, message);
      return true;
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.NotFound) {
        return false;
      }
      throw error;
    }
  }

  async #childResult(name: string, child: LiveRun, output: DescMessage): Promise<Message> {
    const { record } = child;
    if (this.run.record.children.get(name)?.endState === undefined) {
      this.run.commit([
        {
          case: "childEnded",
          value: create(ChildEndedSchema, {
            name,
            state: record.state,
            ...(record.failure === undefined || record.state === RunState.SUCCEEDED ? {} : { failure: record.failure }),
          }),
        },
      ]);
      this.turn.activity?.moved();
    }
    if (record.state !== RunState.SUCCEEDED) {
      throw endError(record);
    }
    if (child.resultMessage !== undefined) {
      return child.resultMessage;
    }
    const bytes = await this.#services.payloads.get(child.id, record.result?.sha256 ?? new Uint8Array());
    if (bytes === undefined) {
      throw createError(Code.DataLoss, "PAYLOAD_LOST", `the result of child run ${child.id} has been deleted`);
    }
    return fromBinary(output, bytes);
  }

  async #tryStep<Desc extends DescMessage>(
    name: string,
    schema: Desc,
    execute: (one: StepTry) => Promise<MessageInitShape<Desc>> | MessageInitShape<Desc>,
    options: StepOptions,
  ): Promise<{ message: MessageShape<Desc>; tries: number }> {
    const { retry } = options;
    const maxAttempts = retry === undefined ? 1 : (retry.maxAttempts ?? 3);
    for (let number = 1; ; number++) {
      try {
        const result = await (options.timeoutMs === undefined
          ? execute(new PlainTry(this.turn, number))
          : this.#timed(name, options.timeoutMs, (signal) => execute({ signal, number })));
        return { message: stepMessage(name, schema, result), tries: number };
      } catch (error) {
        if (number >= maxAttempts || !this.#current || this.turn.abortReason !== undefined) {
          throw error;
        }
        const delayMs = stepDelayMs(error, number, retry, this.#services.random, this.clock.now());
        if (delayMs === undefined) {
          throw error;
        }
        await sleep(this.clock, delayMs, this.turn.signal);
      }
    }
  }

  async #timed<T>(name: string, timeoutMs: number, execute: (signal: AbortSignal) => Promise<T> | T): Promise<T> {
    const controller = new AbortController();
    const onAbort = (): void => controller.abort(this.turn.signal.reason);
    this.turn.signal.addEventListener("abort", onAbort, { once: true });
    const overtime = Promise.withResolvers<never>();
    const timer = this.clock.setTimeout(() => {
      const error = createError(
        Code.Unavailable,
        "STEP_TIMEOUT",
        `step ${JSON.stringify(name)} took longer than its ${timeoutMs} ms`,
      );
      controller.abort(error);
      overtime.reject(error);
    }, timeoutMs);
    try {
      return await Promise.race([execute(controller.signal), overtime.promise]);
    } finally {
      timer.cancel();
      this.turn.signal.removeEventListener("abort", onAbort);
    }
  }

  /** Journals a step of the run that this one takes over from, as its own. */
  async #keep(known: StepCompleted, bytes: Uint8Array): Promise<void> {
    const result = await this.#store(known.result?.typeName ?? "", bytes);
    this.#assertCurrent();
    this.turn.activity?.moved();
    this.run.commit([
      {
        case: "stepCompleted",
        value: create(StepCompletedSchema, {
          ...known,
          result,
          keptFrom: known.keptFrom || this.run.record.accepted.rerunOf,
        }),
      },
    ]);
  }

  #keptSteps(): Promise<JournaledSteps | undefined> {
    this.#kept ??= this.#readKeptSteps();
    return this.#kept;
  }

  async #readKeptSteps(): Promise<JournaledSteps | undefined> {
    const { rerunOf, discardSteps } = this.run.record.accepted;
    if (discardSteps) {
      return undefined;
    }
    const { live } = this.#services;
    const before = await live.hold(rerunOf);
    if (before === undefined) {
      return undefined;
    }
    try {
      await before.durable;
      return before.record.steps;
    } finally {
      live.release(before);
    }
  }

  #digest(bytes: Uint8Array, sensitive = false): Uint8Array {
    return digestOf(this.#services.payloads, bytes, sensitive || this.workflow.sensitive);
  }

  #store(typeName: string, bytes: Uint8Array, sensitive = false): Payload | Promise<Payload> {
    const put = sensitive || this.workflow.sensitive ? { sensitive: true } : undefined;
    const { sha256, stored } = this.#services.payloads.put(this.run.id, bytes, put);
    const payload = payloadOf(typeName, sha256, bytes.length);
    return stored === undefined ? payload : stored.then(() => payload);
  }

  #claim(name: string, what: "step" | "child"): void {
    this.#assertCurrent();
    if (name === "" || name.length > maxNameLength) {
      throw createError(
        Code.InvalidArgument,
        "INVALID_NAME",
        `a ${what} has a name of 1 to ${maxNameLength} characters, and this one has ${name.length}`,
      );
    }
    let names: NameSet;
    if (what === "step") {
      names = this.#steps ??= new NameSet();
    } else {
      names = this.#children ??= new NameSet();
    }
    if (!names.take(name)) {
      throw createError(
        Code.FailedPrecondition,
        "DUPLICATE_NAME",
        `there are two ${what === "step" ? "steps" : "children"} named ${JSON.stringify(name)} in one attempt: give each its own name, like "${name}-2"`,
      );
    }
  }

  get #current(): boolean {
    return !this.turn.concluded && this.run.record.attempt?.token === this.attempt.token && !this.run.lost;
  }

  /** Whether what the attempt says is still taken into account: a run that is being cancelled takes no more of it. */
  get #heard(): boolean {
    return this.#current && this.turn.abortReason === undefined;
  }

  #assertCurrent(): void {
    if (!this.#heard) {
      throw (
        this.turn.abortReason ??
        new ConnectError("this attempt is over: what it still does is not taken into account", Code.Aborted)
      );
    }
  }
}

/** A try that has the time of its attempt. Its signal is made on demand: most steps never look at it. */
class PlainTry implements StepTry {
  readonly number: number;
  readonly #turn: ActiveTurn;

  constructor(turn: ActiveTurn, number: number) {
    this.#turn = turn;
    this.number = number;
  }

  get signal(): AbortSignal {
    return this.#turn.signal;
  }
}

function stepMessage<Desc extends DescMessage>(name: string, schema: Desc, result: unknown): MessageShape<Desc> {
  if (typeof result !== "object" || result === null) {
    throw createError(
      Code.Internal,
      "INVALID_RESULT",
      `step ${JSON.stringify(name)} returned no ${schema.typeName}: return a message, or what one is made of`,
    );
  }
  return create(schema, result as MessageInitShape<Desc>);
}

/** Progress as its contract allows it; what is out of range is moved into it, because progress never fails a run. */
function boundedProgress(init: MessageInitShape<typeof ProgressSchema>): Progress {
  const progress = create(ProgressSchema, init);
  if (progress.fraction !== undefined) {
    progress.fraction = Number.isNaN(progress.fraction) ? 0 : Math.min(1, Math.max(0, progress.fraction));
  }
  progress.stage = progress.stage.slice(0, 256);
  progress.message = progress.message.slice(0, 4096);
  progress.step = Math.max(0, Math.trunc(progress.step)) || 0;
  progress.steps = Math.max(0, Math.trunc(progress.steps)) || 0;
  return progress;
}

function toBytes(input: Uint8Array | string): Uint8Array {
  return typeof input === "string" ? new TextEncoder().encode(input) : input;
}

/** How long a step waits before its next try: as long as the back-end says, else its backoff. Undefined for no next try. */
function stepDelayMs(
  error: unknown,
  number: number,
  retry: StepRetry | undefined,
  random: RandomSource,
  nowMs: number,
): number | undefined {
  const { failure } = classifyError(error, random, nowMs);
  const maxBackoffMs = retry?.maxBackoffMs ?? 60_000;
  if (!failure.retryable) {
    return undefined;
  }
  if (failure.retryDelay !== undefined) {
    const askedMs = msFromDuration(failure.retryDelay);
    return askedMs > maxBackoffMs ? undefined : askedMs;
  }
  const { initialBackoffMs = 1_000, backoffMultiplier = 2 } = retry ?? {};
  return backoffMs({ initialBackoffMs, maxBackoffMs, backoffMultiplier }, number, random);
}
