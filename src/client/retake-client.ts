import type { DescMessage, DescService, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import type { Run } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { type RandomSource, systemClock, systemRandom } from "../clock.ts";
import { createAuthorizedTransport } from "./api-key.ts";
import { type ArtifactsClient, createArtifactsClient } from "./artifacts.ts";
import { connectChannel } from "./channel.ts";
import type { RetakeClientOptions } from "./client-options.ts";
import { listRuns, type RunFilter } from "./list-runs.ts";
import { anyDecoder, messageDecoder } from "./result-decoder.ts";
import { createRetryingTransport } from "./retrying-transport.ts";
import {
  type CallOptions,
  createRunHandle,
  type HandleSettings,
  type RunHandle,
  type WorkflowMethod,
} from "./run-handle.ts";
import { type StartOptions, startRun } from "./start-run.ts";

/** A connection to a server. */
export interface RetakeClient extends Disposable {
  /**
   * Starts a run; it is durable when this resolves, and needs no caller from then on. Without a key it gets a random
   * one, so that a call that is repeated because its answer was lost does not start two runs.
   *
   * @throws ConnectError when the server refuses it: INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS (the key belongs to a
   * run with another input), RESOURCE_EXHAUSTED (the queue is full)
   */
  start<I extends DescMessage, O extends DescMessage>(
    method: WorkflowMethod<I, O>,
    input: MessageInitShape<I>,
    options?: StartOptions,
  ): Promise<RunHandle<MessageShape<O>>>;

  /**
   * The handle of a run that exists; nothing is called yet. With the workflow's method results are its response messages,
   * without they are `Any`.
   */
  attach<I extends DescMessage, O extends DescMessage>(
    runId: string,
    method: WorkflowMethod<I, O>,
  ): RunHandle<MessageShape<O>>;
  attach(runId: string): RunHandle<Any>;

  /** Runs, newest first. Pages are fetched as they are read. */
  list(filter?: RunFilter, options?: CallOptions): AsyncGenerator<Run, void, undefined>;

  /** Films, images and other files that runs take and make. */
  readonly artifacts: ArtifactsClient;

  /** RunService as it is. */
  readonly runs: Client<typeof RunService>;

  /** A plain Connect client of any service on the same connection: workflows called directly, health, your own. */
  client<Service extends DescService>(service: Service): Client<Service>;

  /** What the clients above call through. */
  readonly transport: Transport;

  /** Ends what waits for a run, and closes a connection of the client's own. Runs go on. Calling again does nothing. */
  close(): void;
}

const defaults = { retryForMs: 30_000, reconnectForMs: 600_000, callTimeoutMs: 60_000 };

/**
 * Connects to a server: at the first call, and anew whenever the connection is lost.
 *
 * @throws TypeError for options that cannot work
 */
export function connectRetake(options: RetakeClientOptions): RetakeClient {
  const { clock = systemClock, random = systemRandom, apiKey } = options;
  const times = { ...defaults };
  for (const name of Object.keys(defaults) as (keyof typeof defaults)[]) {
    const given = options[name];
    if (given === undefined) continue;
    if (!(given >= 0)) throw new TypeError(`${name}: a number of milliseconds, 0 or more, not ${given}`);
    times[name] = given;
  }
  const channel = options.transport === undefined ? connectChannel(options, apiKey, clock) : undefined;
  const closing = new AbortController();
  const connection = options.transport ?? (channel as NonNullable<typeof channel>);
  const authorized = apiKey === undefined ? connection : createAuthorizedTransport(connection, apiKey);
  const transport = createRetryingTransport(authorized, {
    retryForMs: times.retryForMs,
    clock,
    random,
    closed: closing.signal,
  });
  const runs = createClient(RunService, transport);
  const settings: HandleSettings = {
    runs,
    clock,
    random,
    reconnectForMs: times.reconnectForMs,
    callTimeoutMs: times.callTimeoutMs,
    closed: closing.signal,
    newKey: () => randomKey(random),
  };
  const close = (): void => {
    if (closing.signal.aborted) return;
    closing.abort(new ConnectError("the client has been closed", Code.Canceled));
    channel?.close();
  };

  function attach<I extends DescMessage, O extends DescMessage>(
    id: string,
    method: WorkflowMethod<I, O>,
  ): RunHandle<MessageShape<O>>;
  function attach(id: string): RunHandle<Any>;
  function attach(id: string, method?: WorkflowMethod<DescMessage, DescMessage>): RunHandle<Message> {
    const decode = method === undefined ? anyDecoder : messageDecoder(method.output);
    return createRunHandle<Message>(settings, { id, joined: true, decode });
  }

  return {
    start: (method, input, startOptions = {}) => startRun(settings, method, input, startOptions),
    attach,
    list: (filter = {}, callOptions = {}) =>
      listRuns(runs, filter, { ...callOptions, timeoutMs: settings.callTimeoutMs }),
    artifacts: createArtifactsClient({ ...settings, artifacts: createClient(ArtifactService, transport) }),
    runs,
    client: (service) => createClient(service, transport),
    transport,
    close,
    [Symbol.dispose]: close,
  };
}

function randomKey(random: RandomSource): string {
  const bytes = new Uint8Array(16);
  random.fill(bytes);
  return Buffer.from(bytes).toString("hex");
}
