import { create, type DescMessage, type DescMethodServerStreaming, type DescMethodUnary } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { type Run, RunSchema, RunState } from "../../gen/retake/v1/run_pb.js";
import { type RunService, RunView } from "../../gen/retake/v1/run_service_pb.js";
import type { ResultDecoder } from "./result-decoder.ts";
import { runError } from "./run-error.ts";
import { isTerminal, stateAfter, type TerminalEvent } from "./terminal.ts";
import { type Reconnection, type RunUpdate, type WatchSettings, watchRun } from "./watch-run.ts";

/** A method that can be a workflow. */
export type WorkflowMethod<I extends DescMessage, O extends DescMessage> =
  | DescMethodUnary<I, O>
  | DescMethodServerStreaming<I, O>;

export interface CallOptions {
  /** Gives the call up; the run goes on. */
  readonly signal?: AbortSignal;
}

export interface EventsOptions extends CallOptions {
  /** The number of the last event that is already known. Default: 0, from the first event on. */
  readonly afterSequence?: bigint | number;
  /** FULL for events with inputs, step results and updates. The result is always there. */
  readonly view?: RunView;
  /** Told of each lost connection, before it is made anew. */
  readonly onReconnect?: (reconnection: Reconnection) => void;
  /** Told when the server is heard again: at the next event or progress, within 15 s in any case. */
  readonly onReconnected?: () => void;
}

/** A run, seen from a client. Nothing happens to the run when the handle is forgotten. */
export interface RunHandle<Output> {
  /** The run's id, a UUID: `attach` takes it, in any process. */
  readonly id: string;
  /** Whether the run existed before `start`: its idempotency key belonged to it. */
  readonly joined: boolean;

  /** The run as it stands. `view: RunView.FULL` adds the input and the result. */
  get(options?: CallOptions & { readonly view?: RunView }): Promise<Run>;

  /**
   * What has happened and what happens, up to the run's end. A connection that breaks is made anew behind the last event
   * that was seen: no event is missing, and none comes twice. Leaving the loop ends the stream, not the run.
   *
   * @throws ConnectError when the server's answer is final (NOT_FOUND), when it stays away for too long (UNAVAILABLE,
   * see `reconnectForMs`), and Canceled when the signal is aborted or the client is closed
   */
  events(options?: EventsOptions): AsyncGenerator<RunUpdate, void, undefined>;

  /**
   * Waits for the run's end and returns its result: the workflow's response message, for a streaming workflow the one
   * message of its stream that is the result.
   *
   * @throws RunFailedError with the Failure, RunCancelledError, RunExpiredError; ConnectError as `events` does
   */
  result(options?: CallOptions): Promise<Output>;

  /** Asks the run to stop and returns it as it then is: CANCELLING, or as it has ended. */
  cancel(reason?: string, options?: CallOptions): Promise<Run>;

  /**
   * Starts a new run with this one's input once this one has ended, keeping its valid steps unless `discardSteps`. With a
   * key, calling again joins the new run.
   */
  rerun(options?: RerunOptions): Promise<RunHandle<Output>>;
}

export interface RerunOptions extends CallOptions {
  /** Default: a random one, so that a repeated call does not start two runs. */
  readonly idempotencyKey?: string;
  /** Execute every step again. Default: false. */
  readonly discardSteps?: boolean;
}

/** What the handles of one client share. */
export interface HandleSettings extends WatchSettings {
  readonly callTimeoutMs: number;
  readonly newKey: () => string;
}

interface HandleInit<Output> {
  readonly id: string;
  readonly joined: boolean;
  readonly decode: ResultDecoder<Output>;
  /** As it was when the handle was made, where that is known. */
  readonly run?: Run | undefined;
}

export function createRunHandle<Output>(settings: HandleSettings, init: HandleInit<Output>): RunHandle<Output> {
  return new ClientRun(settings, init);
}

class ClientRun<Output> implements RunHandle<Output> {
  readonly id: string;
  readonly joined: boolean;
  readonly #settings: HandleSettings;
  readonly #runs: Client<typeof RunService>;
  readonly #decode: ResultDecoder<Output>;
  readonly #first: Run | undefined;
  /** How it ended, once a watch has seen that: nobody has to ask again. */
  #end: TerminalEvent | undefined;

  constructor(settings: HandleSettings, init: HandleInit<Output>) {
    this.id = init.id;
    this.joined = init.joined;
    this.#settings = settings;
    this.#runs = settings.runs;
    this.#decode = init.decode;
    this.#first = init.run;
  }

  async get(options: CallOptions & { readonly view?: RunView } = {}): Promise<Run> {
    const { view = RunView.BASIC } = options;
    const { run } = await this.#runs.getRun({ runId: this.id, view }, this.#call(options));
    return run ?? create(RunSchema, { runId: this.id });
  }

  async *events(options: EventsOptions = {}): AsyncGenerator<RunUpdate, void, undefined> {
    this.#end = (yield* this.#watch(options)) ?? this.#end;
  }

  async result(options: CallOptions = {}): Promise<Output> {
    const ended = this.#end === undefined ? await this.#endedRun(options) : await this.#runAfter(this.#end, options);
    if (ended.state !== RunState.SUCCEEDED) throw runError(ended);
    return this.#decode(this.id, ended.result);
  }

  async cancel(reason = "", options: CallOptions = {}): Promise<Run> {
    const { run } = await this.#runs.cancelRun({ runId: this.id, reason }, this.#call(options));
    return run ?? create(RunSchema, { runId: this.id });
  }

  async rerun(options: RerunOptions = {}): Promise<RunHandle<Output>> {
    const { idempotencyKey = this.#settings.newKey(), discardSteps = false } = options;
    const { run } = await this.#runs.rerunRun({ runId: this.id, idempotencyKey, discardSteps }, this.#call(options));
    return createRunHandle(this.#settings, { id: run?.runId ?? "", joined: false, decode: this.#decode, run });
  }

  #watch(options: EventsOptions): AsyncGenerator<RunUpdate, TerminalEvent | undefined, undefined> {
    const { afterSequence = 0n, view = RunView.BASIC, signal, onReconnect, onReconnected } = options;
    return watchRun(this.#settings, {
      runId: this.id,
      afterSequence: BigInt(afterSequence),
      view,
      signal,
      onReconnect,
      onReconnected,
    });
  }

  /** The run once it has ended, with its result if there is one. */
  async #endedRun(options: CallOptions): Promise<Run> {
    const known = this.#first;
    const run =
      known === undefined || isTerminal(known.state) ? await this.get({ ...options, view: RunView.FULL }) : known;
    if (isTerminal(run.state)) return run;
    // What happened before is of no interest here, and need not be sent again.
    const updates = this.#watch({ ...options, afterSequence: run.lastSequence });
    for (;;) {
      const update = await updates.next();
      if (update.done !== true) continue;
      this.#end = update.value;
      return update.value === undefined
        ? this.get({ ...options, view: RunView.FULL })
        : this.#runAfter(update.value, options);
    }
  }

  /** The run as its terminal event leaves it; only an end without a result is worth another call. */
  async #runAfter(end: TerminalEvent, options: CallOptions): Promise<Run> {
    if (end.event.case === "succeeded") return runFromEnd(this.id, end);
    try {
      return await this.get(options);
    } catch {
      return runFromEnd(this.id, end);
    }
  }

  #call({ signal }: CallOptions) {
    const timeoutMs = this.#settings.callTimeoutMs;
    return signal === undefined ? { timeoutMs } : { timeoutMs, signal };
  }
}

/** As much of a run as its last event says. */
function runFromEnd(runId: string, end: TerminalEvent): Run {
  const { event, sequence, time } = end;
  return create(RunSchema, {
    runId,
    state: stateAfter(end),
    lastSequence: sequence,
    ...(time === undefined ? {} : { endTime: time }),
    ...(event.value.statistics === undefined ? {} : { statistics: event.value.statistics }),
    ...(event.case === "succeeded" && event.value.result !== undefined ? { result: event.value.result } : {}),
    ...(event.case === "failed" && event.value.failure !== undefined ? { failure: event.value.failure } : {}),
    ...(event.case === "cancelled" ? { cancelReason: event.value.reason } : {}),
  });
}
