import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { type ContextValues, createContextValues, type HandlerContext } from "@connectrpc/connect";
import type { Quality } from "../../gen/retake/v1/options_pb.js";
import type { ProgressSchema } from "../../gen/retake/v1/run_pb.js";
import type { HandlerMetrics } from "../user-metrics.ts";
import type { RunArtifacts } from "./artifacts/run-artifacts.ts";
import type { AttemptWork, StepOptions, StepTry } from "./attempt-work.ts";
import { ownTraceparent } from "./own-traceparent.ts";
import type { RunOwner } from "./ports/journal.ts";
import { sha256 } from "./sha256.ts";

/**
 * What a handler gets: Connect's context, with the run that it works for. Response headers and trailers that it sets are
 * dropped: a run's answer may be given much later, and to others.
 */
export interface WorkflowContext extends HandlerContext {
  readonly run: RunContext;
  /** What the newest earlier attempt left behind: adopt that job, or cancel it first. */
  readonly previous: PreviousAttempt | undefined;
  /** Tells watchers how far the attempt is; for unary workflows, and beside what a streaming one yields. */
  progress(progress: MessageInitShape<typeof ProgressSchema>): void;
  /** Journals the back-end's handle of its job, 4 KiB at most. Resolves when it is durable. */
  checkpoint(handle: Uint8Array | string): Promise<void>;
  /** Films, images and other files that are too large for messages. */
  readonly artifacts: RunArtifacts;
  /** Counters, gauges and histograms of the handler's own. */
  readonly metrics: HandlerMetrics;
}

export interface RunContext {
  readonly runId: string;
  readonly workflow: string;
  readonly owner: RunOwner;
  /** 1, 2, 3, … */
  readonly attempt: number;
  /** Unique to this attempt. */
  readonly token: string;
  /** The same for all attempts that ask the same: a key for services that the handler calls. */
  readonly idempotencyKey: string;
  readonly deadline: Date;
  /** How much of its request the attempt asks for; the fields with quality rules have been lowered already. */
  readonly quality: Quality;
  /** The trace that it belongs to, a W3C `traceparent`: its caller's, or one of its own that nobody keeps; empty without any. */
  readonly traceparent: string;
}

export interface PreviousAttempt {
  readonly attempt: number;
  readonly handle: Uint8Array;
}

/** The context of one attempt. */
export function createWorkflowContext(work: AttemptWork): WorkflowContext {
  return new AttemptContext(work);
}

/**
 * Executes a part of a workflow once: its result is journaled under its name and what it depends on (the run's input,
 * unless `input` says otherwise), and a retaken attempt reads it instead of executing the part again.
 *
 * @throws ConnectError FAILED_PRECONDITION when the name is used twice in one attempt; what the function throws, once its
 * tries are used up
 */
export function step<Desc extends DescMessage>(
  context: HandlerContext,
  name: string,
  schema: Desc,
  execute: (one: StepTry) => Promise<MessageInitShape<Desc>> | MessageInitShape<Desc>,
  options?: StepOptions,
): Promise<MessageShape<Desc>> {
  return workOf(context, "step").step(name, schema, execute, options);
}

/**
 * Executes another workflow of this server as a child run and returns its result. A retaken parent finds its child again;
 * while the parent waits it gives its permit back and its attempt's time stands still.
 *
 * @throws ConnectError what the child failed with
 */
export function call<I extends DescMessage, O extends DescMessage>(
  context: HandlerContext,
  name: string,
  method: DescMethodUnary<I, O> | DescMethodServerStreaming<I, O>,
  input: MessageInitShape<I>,
): Promise<MessageShape<O>> {
  return workOf(context, "call").call(name, method, input);
}

function workOf(context: HandlerContext, what: string): AttemptWork {
  const work = AttemptContext.workOf(context);
  if (work === undefined) {
    throw new TypeError(
      `${what}() takes the context of a workflow's handler: pass on the one that the handler got, not a copy of it`,
    );
  }
  return work;
}

class AttemptContext implements WorkflowContext {
  readonly requestMethod = "POST";
  readonly protocolName = "grpc";
  readonly #work: AttemptWork;
  #run: RunContext | undefined;
  #artifacts: RunArtifacts | undefined;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #values: ContextValues | undefined;

  constructor(work: AttemptWork) {
    this.#work = work;
  }

  /** What an attempt's own context stands for; undefined for any other object. */
  static workOf(context: object): AttemptWork | undefined {
    return #work in context ? context.#work : undefined;
  }

  get method() {
    return this.#work.workflow.method;
  }

  get service() {
    return this.#work.workflow.service;
  }

  get url(): string {
    return `retake:///${this.#work.workflow.name}`;
  }

  get signal(): AbortSignal {
    return this.#work.turn.signal;
  }

  get run(): RunContext {
    this.#run ??= runContext(this.#work);
    return this.#run;
  }

  get previous(): PreviousAttempt | undefined {
    const { checkpoint } = this.#work.run.record;
    return checkpoint === undefined || checkpoint.attempt >= this.#work.attempt.number
      ? undefined
      : { attempt: checkpoint.attempt, handle: this.#work.handle(checkpoint.handle) };
  }

  readonly timeoutMs = (): number => {
    const { run, turn, workflow, clock } = this.#work;
    return Math.max(
      0,
      Math.min(
        run.record.deadlineMs - clock.now(),
        workflow.policy.attemptTimeoutMs - turn.attemptMs,
        run.callerTimeoutMs?.() ?? Number.POSITIVE_INFINITY,
      ),
    );
  };

  progress(progress: MessageInitShape<typeof ProgressSchema>): void {
    this.#work.progress(progress);
  }

  checkpoint(handle: Uint8Array | string): Promise<void> {
    return this.#work.checkpoint(typeof handle === "string" ? new TextEncoder().encode(handle) : handle);
  }

  get artifacts(): RunArtifacts {
    this.#artifacts ??= this.#work.artifacts();
    return this.#artifacts;
  }

  get metrics(): HandlerMetrics {
    return this.#work.metrics;
  }

  get requestHeader(): Headers {
    this.#requestHeader ??= new Headers(this.#work.run.record.accepted.metadata);
    return this.#requestHeader;
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  get values(): ContextValues {
    this.#values ??= createContextValues();
    return this.#values;
  }
}

function runContext(work: AttemptWork): RunContext {
  const { accepted, deadlineMs } = work.run.record;
  return {
    runId: accepted.runId,
    workflow: accepted.workflow,
    owner: { tenant: accepted.owner?.tenant ?? "", subject: accepted.owner?.subject ?? "" },
    attempt: work.attempt.number,
    token: work.attempt.token,
    idempotencyKey: idempotencyKey(accepted.runId, work.attempt.inputSha256),
    deadline: new Date(deadlineMs),
    quality: work.attempt.quality,
    traceparent: ownTraceparent(accepted),
  };
}

/** The key under which back-ends may know an effective request of a run. */
export function idempotencyKey(runId: string, inputSha256: Uint8Array): string {
  return sha256(runId, inputSha256).toString("hex");
}
