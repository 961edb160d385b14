import type { DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { createClient, createServiceImplSpec, type Interceptor, type Transport } from "@connectrpc/connect";
import { pino } from "pino";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionV1Alpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import { type ServerConfig, ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import type { WorkflowHandler } from "../backends/index.ts";
import { type Clock, type RandomSource, systemClock, systemRandom } from "../clock.ts";
import { type ResolvedConfig, resolveConfig } from "../config/index.ts";
import { type ContractRegistry, createContractRegistry, workflowName } from "../contract/index.ts";
import { createRequestValidator, errors, validateRequests } from "../interceptors/rpc/index.ts";
import { createEmbeddedFeed, createEmbeddedGates, createEmbeddedScheduler } from "../runs/embedded/index.ts";
import type { Artifacts, Journal, Logger, Payloads, WorkflowContext } from "../runs/index.ts";
import { createInProcessTransport } from "../transport/index.ts";
import { type Environment, WebhookSecrets } from "../webhooks/index.ts";
import { createArtifactService } from "./artifact-service.ts";
import { openEmbeddedStorage } from "./embedded-storage.ts";
import { Engine } from "./engine.ts";
import { type GrpcFront, listenGrpcFront } from "./grpc-front.ts";
import { createHealth, type HealthReporter, overallHealth, ServingStatus } from "./health.ts";
import { createReflection } from "./reflection.ts";
import { type Route, route } from "./routes.ts";
import { createRunService } from "./run-service.ts";
import { type FrontsTls, readTls } from "./tls.ts";
import { listenWebFront, type WebFront } from "./web-front.ts";
import { createWorkflowService } from "./workflow-service.ts";

/** The implementation of a contract: one handler for each of its workflows. */
export type WorkflowImpl<Desc extends DescService> = {
  [Name in keyof Desc["method"]]?: WorkflowMethodImpl<Desc["method"][Name]>;
};

type WorkflowMethodImpl<Method extends DescMethod> = Method extends { methodKind: "unary" }
  ? (
      request: MessageShape<Method["input"]>,
      context: WorkflowContext,
    ) => Promise<MessageInitShape<Method["output"]>> | MessageInitShape<Method["output"]>
  : Method extends { methodKind: "server_streaming" }
    ? (
        request: MessageShape<Method["input"]>,
        context: WorkflowContext,
      ) => AsyncIterable<MessageInitShape<Method["output"]>>
    : never;

/** What a server may be given instead of the machine's own. */
export interface ServerOptions {
  /** Default: the machine's clock. */
  readonly clock?: Clock;
  /** Default: the machine's random source. */
  readonly random?: RandomSource;
  /** Default: JSON lines on standard output, by pino, at the configured level. */
  readonly log?: Logger;
  /** Default: SQLite in the data directory. */
  readonly openStorage?: (config: ResolvedConfig, clock: Clock, log: Logger) => Storage | Promise<Storage>;
  /** Where secrets are that the configuration names. Default: the environment of this process. */
  readonly env?: Environment;
}

/** Where runs, their payloads and artifacts are kept. */
export interface Storage {
  readonly journal: Journal;
  readonly payloads: Payloads;
  readonly artifacts: Artifacts;
  close(): Promise<void>;
}

/** Where a server can be reached. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

/** A server for workflows. */
export interface RetakeServer {
  /**
   * Implements the workflows of a contract in this process. Several calls for one service add up.
   *
   * @throws TypeError for a method that the contract does not have, or one that is implemented already
   */
  implement<Desc extends DescService>(service: Desc, implementation: WorkflowImpl<Desc>): RetakeServer;

  /** Serves a contract whose workflows are carried out by configured back-ends. */
  serve(service: DescService): RetakeServer;

  /**
   * Opens the journal, takes over what an earlier process left behind, and listens. When it throws, nothing listens, the
   * data directory is free, and it can be called again.
   *
   * @throws ContractError, ConfigError, JournalOpenError, TypeError for workflows that nothing carries out, or an Error
   * that names the port that cannot be bound
   */
  listen(): Promise<RetakeServer>;

  /** Absent before `listen`, and where the port is disabled. */
  readonly grpc: ServerAddress | undefined;
  readonly web: ServerAddress | undefined;

  /** Calls the server within this process, without a network; for tests, and for servers without ports. */
  readonly transport: Transport;

  /**
   * Stops: takes no new runs, gives running attempts the configured time, hands the rest back for the next start, answers
   * every open call, and closes. Calling again changes nothing. A server that has been closed stays closed.
   */
  close(options?: { readonly drainTimeoutMs?: number }): Promise<void>;
}

/**
 * A server for workflows, with the configuration of `config.proto`: what is left out has its default.
 *
 * @throws ConfigError when a value is out of range, or values make no sense together
 */
export function createServer(
  config: MessageInitShape<typeof ServerConfigSchema> | ServerConfig = {},
  options: ServerOptions = {},
): RetakeServer {
  return new Server(resolveConfig(create(ServerConfigSchema, config)), options);
}

class Server implements RetakeServer {
  readonly #config: ResolvedConfig;
  readonly #clock: Clock;
  readonly #random: RandomSource;
  readonly #log: Logger;
  readonly #openStorage: NonNullable<ServerOptions["openStorage"]>;
  readonly #env: Environment;
  readonly #services = new Map<string, DescService>();
  readonly #handlers = new Map<string, WorkflowHandler>();
  #running: Running | undefined;
  #starting: Promise<Running> | undefined;
  #closing: Promise<void> | undefined;

  constructor(config: ResolvedConfig, options: ServerOptions) {
    this.#config = config;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#env = options.env ?? process.env;
    this.#log = options.log ?? pino({ level: config.log.level });
    this.#openStorage = options.openStorage ?? ((config, clock) => openEmbeddedStorage(config, clock));
  }

  get grpc(): ServerAddress | undefined {
    return this.#running?.grpc;
  }

  get web(): ServerAddress | undefined {
    return this.#running?.web;
  }

  get transport(): Transport {
    if (this.#running === undefined) {
      throw new TypeError("the server can be called once listen() has resolved");
    }
    return this.#running.transport;
  }

  implement<Desc extends DescService>(service: Desc, implementation: WorkflowImpl<Desc>): RetakeServer {
    this.serve(service);
    for (const [localName, handler] of Object.entries(implementation)) {
      const method = service.method[localName];
      if (method === undefined) {
        throw new TypeError(`service ${service.typeName} has no method ${localName}`);
      }
      if (typeof handler !== "function") {
        throw new TypeError(`the handler of ${workflowName(method)} is no function`);
      }
      const name = workflowName(method);
      if (this.#handlers.has(name)) {
        throw new TypeError(`${name} is implemented twice`);
      }
      this.#handlers.set(name, (handler as WorkflowHandler).bind(implementation));
    }
    return this;
  }

  serve(service: DescService): RetakeServer {
    if (this.#starting !== undefined) {
      throw new TypeError(`the server listens already: add ${service.typeName} before listen()`);
    }
    this.#services.set(service.typeName, service);
    return this;
  }

  async listen(): Promise<RetakeServer> {
    if (this.#closing !== undefined) {
      throw new TypeError("the server has been closed: create a new one");
    }
    if (this.#starting !== undefined) {
      throw new TypeError("listen() is called once");
    }
    this.#starting = this.#start();
    try {
      this.#running = await this.#starting;
    } catch (error) {
      this.#starting = undefined;
      throw error;
    }
    return this;
  }

  close(options?: { readonly drainTimeoutMs?: number }): Promise<void> {
    this.#closing ??= this.#stop(options?.drainTimeoutMs ?? this.#config.drainTimeoutMs);
    return this.#closing;
  }

  async #start(): Promise<Running> {
    const config = this.#config;
    const services = [...this.#services.values()];
    const reflectionOn = config.grpc?.reflection === true;
    const contracts = createContractRegistry({
      services,
      ownServices: [
        RunService,
        ArtifactService,
        Health,
        ...(reflectionOn ? [ServerReflection, ServerReflectionV1Alpha] : []),
      ],
      overrides: config.overrides,
    });
    assertImplemented(contracts.workflows.keys(), this.#handlers, config);
    const secrets = new WebhookSecrets(config.webhooks.secrets, this.#env, this.#clock, this.#log);
    assertSigned(contracts, config);
    const tls = readTls(config);
    const storage = await this.#openStorage(config, this.#clock, this.#log);
    const closers: (() => Promise<unknown>)[] = [() => storage.close()];
    try {
      const validator = createRequestValidator(contracts);
      const scheduler = createEmbeddedScheduler({ clock: this.#clock });
      const engine = new Engine({
        config,
        contracts,
        handlers: this.#handlers,
        validator,
        secrets,
        journal: storage.journal,
        payloads: storage.payloads,
        artifacts: storage.artifacts,
        scheduler,
        gates: createEmbeddedGates({ scheduler }),
        feed: createEmbeddedFeed({
          onError: (error, runId) => this.#log.error({ err: error, runId }, "a watcher could not be told"),
        }),
        clock: this.#clock,
        random: this.#random,
        log: this.#log,
        maxMessageBytes: maxMessageBytes(config),
      });
      closers.unshift(() => engine.drain(0));
      await engine.open();
      const health = createHealth();
      const routes: Route[] = [
        route(RunService, createRunService(engine)),
        route(ArtifactService, createArtifactService(engine)),
        route(Health, health.service),
        ...services.map((service) => route(service, createWorkflowService(service, engine))),
      ];
      if (reflectionOn) {
        const reflection = createReflection(contracts);
        routes.push(
          route(ServerReflection, reflection.v1, { grpcOnly: true }),
          route(ServerReflectionV1Alpha, reflection.v1alpha, { grpcOnly: true }),
        );
      }
      const interceptors = [
        errors({ clock: this.#clock, random: this.#random, log: this.#log }),
        validateRequests(validator),
      ];
      const transport = createInProcessTransport(
        routes.map(({ service, implementation }) => createServiceImplSpec(service, implementation)),
        { interceptors, clock: this.#clock },
      );
      const running = new Running(engine, storage, health, routes, transport, this.#log);
      closers.unshift(() => running.closePorts());
      await running.listen({ config, tls, interceptors, contracts, clock: this.#clock });
      // Only now: a server that cannot listen must not have executed anything.
      engine.start();
      running.serve();
      return running;
    } catch (error) {
      for (const close of closers) {
        await close().catch(() => undefined);
      }
      throw error;
    }
  }

  async #stop(drainTimeoutMs: number): Promise<void> {
    // A start that fails has cleaned up, and tells whoever called listen().
    const running = await this.#starting?.catch(() => undefined);
    await running?.stop(drainTimeoutMs);
  }
}

interface ListenOptions {
  readonly config: ResolvedConfig;
  readonly tls: FrontsTls;
  readonly interceptors: readonly Interceptor[];
  readonly contracts: ContractRegistry;
  readonly clock: Clock;
}

/** A server that listens. */
class Running {
  readonly transport: Transport;
  readonly #engine: Engine;
  readonly #storage: Storage;
  readonly #health: HealthReporter;
  readonly #routes: readonly Route[];
  readonly #log: Logger;
  readonly #offStatus: () => void;
  #grpc: GrpcFront | undefined;
  #web: WebFront | undefined;
  #stopping = false;

  constructor(
    engine: Engine,
    storage: Storage,
    health: HealthReporter,
    routes: readonly Route[],
    transport: Transport,
    log: Logger,
  ) {
    this.transport = transport;
    this.#engine = engine;
    this.#storage = storage;
    this.#health = health;
    this.#routes = routes;
    this.#log = log;
    this.#offStatus = storage.journal.onStatus((status) => {
      if (status.kind === "failing") {
        log.error({ err: status.cause }, "the journal cannot be written; no new runs until it can");
      } else {
        log.info({}, "the journal can be written again");
      }
      this.serve();
    });
  }

  get grpc(): ServerAddress | undefined {
    return addressOf(this.#grpc);
  }

  get web(): ServerAddress | undefined {
    return addressOf(this.#web);
  }

  /** Opens the ports. @throws Error naming one that cannot be bound */
  async listen({ config, tls, interceptors, contracts, clock }: ListenOptions): Promise<void> {
    const routes = this.#routes;
    if (config.grpc !== undefined) {
      this.#grpc = await listenGrpcFront({ config: config.grpc, tls: tls.grpc, routes, interceptors, clock });
    }
    if (config.web !== undefined) {
      this.#web = await listenWebFront({
        config: config.web,
        tls: tls.web,
        routes,
        interceptors,
        contracts,
        probes: this,
        artifacts: createClient(ArtifactService, this.transport),
        clock,
        log: this.#log,
      });
    }
  }

  /** Tells everybody who asks whether the server takes work. */
  serve(): void {
    const status = this.unready() === "" ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
    this.#health.set(overallHealth, status);
    for (const { service } of this.#routes) {
      this.#health.set(service.typeName, status);
    }
  }

  /** A journal that only a restart can mend makes the process one to be restarted. */
  alive(): boolean {
    const { status } = this.#storage.journal;
    return !(status.kind === "failing" && status.needsRestart === true);
  }

  unready(): string {
    if (this.#stopping) {
      return "the server is about to stop";
    }
    const { status } = this.#storage.journal;
    return status.kind === "failing" ? `the journal cannot be written: ${status.cause.message}` : "";
  }

  async stop(drainTimeoutMs: number): Promise<void> {
    this.#stopping = true;
    this.#health.shutdown();
    try {
      await this.#engine.drain(drainTimeoutMs);
    } finally {
      await this.closePorts();
      await this.#storage.close();
    }
  }

  async closePorts(): Promise<void> {
    this.#offStatus();
    await Promise.all([this.#grpc?.close(), this.#web?.close()]);
  }
}

function addressOf(front: ServerAddress | undefined): ServerAddress | undefined {
  return front && { host: front.host, port: front.port };
}

/** Every workflow needs something that carries it out. @throws TypeError naming those that have nothing */
function assertImplemented(
  workflows: Iterable<string>,
  handlers: ReadonlyMap<string, unknown>,
  config: ResolvedConfig,
): void {
  const missing = [...workflows].filter((name) => {
    const endpoints = config.backends.get(name.slice(0, name.indexOf("/")))?.endpoints;
    return !handlers.has(name) && (endpoints === undefined || endpoints.some(({ target }) => target === "in-process"));
  });
  if (missing.length > 0) {
    throw new TypeError(
      `nothing carries out ${missing.join(", ")}: implement it, or name a back-end for its service in the configuration (backends)`,
    );
  }
}

/** Nobody can trust what nobody signs. @throws TypeError naming the workflows whose ends are told */
function assertSigned({ workflows }: ContractRegistry, { webhooks }: ResolvedConfig): void {
  const telling = [...workflows.values()].filter(({ policy }) => policy.notify !== undefined).map(({ name }) => name);
  if (telling.length > 0 && webhooks.secrets.length === 0) {
    throw new TypeError(
      `the ends of ${telling.join(", ")} are told to others (notify), and nothing signs that: make a secret with ` +
        `"retake webhook secret", and name where it is in the configuration, webhooks: { secrets: [{ environment: RETAKE_WEBHOOK_SECRET }] }`,
    );
  }
}

/** The smaller of the two, so that what came in by one front can be read by the other. */
function maxMessageBytes({ grpc, web }: ResolvedConfig): number {
  return Math.min(
    grpc?.limits.maxMessageBytes ?? Number.POSITIVE_INFINITY,
    web?.limits.maxMessageBytes ?? Number.POSITIVE_INFINITY,
  );
}
