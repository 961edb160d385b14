import { join } from "node:path";
import type { DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { createClient, createServiceImplSpec, type Interceptor, type Transport } from "@connectrpc/connect";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionV1Alpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import { type ServerConfig, ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import {
  BackendCallMetrics,
  type BackendTelemetry,
  type ConnectEndpoint,
  type ServiceEndpoints,
  type ServiceJobs,
  type WorkflowHandler,
} from "../backends/index.ts";
import { type Clock, type RandomSource, systemClock, systemRandom } from "../clock.ts";
import {
  ConfigError,
  defaultSpansPerSecond,
  inProcessTarget,
  type ResolvedConfig,
  resolveConfig,
  withPlaces,
} from "../config/index.ts";
import {
  type AnyConverter,
  anyConverter,
  ContractError,
  type ContractRegistry,
  type Contracts,
  createContractRegistry,
  type FallbackConverter,
  type ReadContracts,
  workflowName,
} from "../contract/index.ts";
import type { FileChanges } from "../file-changes.ts";
import { Instruments } from "../instruments.ts";
import {
  CallMetrics,
  countRefusedCall,
  countUnknownCall,
  createRequestValidator,
  type RefusedCall,
  type RpcSystem,
  telemetry,
  webSystem,
} from "../interceptors/rpc/index.ts";
import type { Exporting, SeriesStore } from "../monitoring/index.ts";
import {
  ForwardedAudit,
  ForwardedLog,
  type OtelEnvironment,
  RunMetrics,
  readOtelEnvironment,
  SevereFailures,
} from "../monitoring/telemetry/index.ts";
import { ownVersion } from "../own-version.ts";
import { createSystemLoad, noLoad, type ProcessLoad } from "../process-load.ts";
import { processMeters } from "../process-meters.ts";
import { createEmbeddedFeed, createEmbeddedGates, createEmbeddedScheduler } from "../runs/embedded/index.ts";
import {
  type Artifacts,
  AttemptScopes,
  type Crash,
  type Journal,
  type Logger,
  type Payloads,
  type RunObserver,
  type WorkflowContext,
} from "../runs/index.ts";
import {
  type AuditSink,
  type Authenticator,
  accessProblems,
  createTextRedactor,
  remembering,
  type TextRedactor,
  unknownMethods,
} from "../security/index.ts";
import { nextTurn } from "../sleep.ts";
import { keepTickShape } from "../tick-shape.ts";
import { runFields } from "../trace-fields.ts";
import { createInProcessTransport, type ServerTls } from "../transport/index.ts";
import { UserMetrics } from "../user-metrics.ts";
import { type Environment, WebhookSecrets } from "../webhooks/index.ts";
import { createAdminService } from "./admin-service.ts";
import type { Alerts } from "./alerts.ts";
import { createArtifactService } from "./artifact-service.ts";
import { Authentication, type FirstAdminKey } from "./authentication.ts";
import { createAuthenticators, type Followed } from "./authenticators.ts";

import { contractChanges } from "./contract-changes.ts";
import { ContractSources, type LoadedContracts } from "./contract-sources.ts";
import { crashNoteName, readCrashNote, removeCrashNote, writeCrashNote } from "./crash-note.ts";
import { type StorageOpener, startEmbeddedStorage } from "./embedded-storage.ts";
import { encryptedPayloads } from "./encrypted-payloads.ts";
import { Engine } from "./engine.ts";
import { countBreakers, countWebhooks, observeDisk, observeEngine, observeHealth } from "./engine-metrics.ts";
import { FallbackLosses } from "./fallback-losses.ts";
import { faultProblems } from "./fault-problems.ts";
import { type GrpcFront, listenGrpcFront } from "./grpc-front.ts";
import { createHealth, type HealthReporter, overallHealth, ServingStatus } from "./health.ts";
import { heldInputs } from "./held-inputs.ts";
import { createLog } from "./log.ts";
import { createMonitoringService } from "./monitoring-service.ts";
import { createReflection } from "./reflection.ts";
import { restartKeys } from "./restart-keys.ts";
import { type Route, route } from "./routes.ts";
import { entryInterceptors, rpcInterceptors } from "./rpc-interceptors.ts";
import { createRunService } from "./run-service.ts";
import { keylessRedaction, redactionOf } from "./security-files.ts";
import { startAudit } from "./start-audit.ts";
import type { Monitoring } from "./start-monitoring.ts";
import { StatusBoard } from "./status-board.ts";
import { type FrontsTls, readTls } from "./tls.ts";
import { followTlsFiles } from "./tls-renewal.ts";
import { answerFor, type HostProcess } from "./uncaught-errors.ts";
import { unsignedEnds } from "./unsigned-ends.ts";
import type { RawService, WebFront } from "./web-front.ts";
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
  /** What tells when it has too much to do. Default: this process; none of it on another clock than the machine's. */
  readonly load?: ProcessLoad;
  /** Default: lines on standard output, by pino, as the configuration says. */
  readonly log?: Logger;
  /** Default: SQLite in the data directory. */
  readonly openStorage?: (config: ResolvedConfig, clock: Clock, log: Logger) => Storage | Promise<Storage>;
  /** How endpoints of back-ends are connected, but where they are asked for their contracts. Default: by gRPC. */
  readonly connectEndpoint?: ConnectEndpoint;
  /** Where secrets are that the configuration names. Default: the environment of this process. */
  readonly env?: Environment;
  /** Who else knows callers, asked before what the configuration names. Default: nobody. */
  readonly authenticators?: readonly Authenticator[];
  /** Where records of the audit log go besides, once they are durable. */
  readonly auditSinks?: readonly AuditSink[];
  /** Ends the process at once, for drills that do so (`Fault.crash`). Default: there are no such drills. */
  readonly crash?: () => void;
  /**
   * The process that this server answers for: what its handlers leave to nobody fails their attempt, is logged with the run,
   * and ends the process where Node warrants for nothing any more. One server in a process does so. Default: none, and
   * Node's own way for such errors, or that of whoever embeds the server.
   */
  readonly process?: HostProcess;
  /** Told of the admin key that a first start makes, once. Default: the log tells in which file it is. */
  readonly onAdminKey?: (made: FirstAdminKey) => void;
  /** Make an admin key at this start although there are keys: for when they are lost. Default: false. */
  readonly newAdminKey?: boolean;
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

/** A configuration as it is given: what is left out has its default. */
export type GivenConfig = MessageInitShape<typeof ServerConfigSchema> | ServerConfig;

/** A server for workflows. */
export interface RetakeServer {
  /**
   * Implements the workflows of a contract in this process. Several calls for one service add up.
   *
   * @param jobs what can be asked about jobs of the service, and done about them: what `retake.v1.BackendService` is for a
   * back-end elsewhere
   * @throws TypeError for a method that the contract does not have, or one that is implemented already
   */
  implement<Desc extends DescService>(
    service: Desc,
    implementation: WorkflowImpl<Desc>,
    jobs?: ServiceJobs,
  ): RetakeServer;

  /**
   * Registers a converter between a workflow and a fallback, under the name by which policies call it
   * (`fallback_converters`).
   *
   * @throws TypeError for a name that is taken
   */
  convert<Workflow extends DescMethod, Fallback extends DescMethod>(
    name: string,
    converter: FallbackConverter<Workflow, Fallback>,
  ): RetakeServer;

  /** Serves a contract whose workflows are carried out by configured back-ends: one that code brings. */
  serve(service: DescService): RetakeServer;

  /**
   * Opens the journal, takes over what an earlier process left behind, and listens. When it throws, nothing listens, the
   * data directory is free, and it can be called again.
   *
   * A back-end that is to tell its contracts by reflection, and cannot be reached, is waited for up to a minute.
   *
   * @throws ContractError, ConfigError, ReflectionError, JournalOpenError, TypeError for workflows that nothing carries
   * out, or an Error that names the port that cannot be bound
   */
  listen(): Promise<RetakeServer>;

  /**
   * Reads contracts anew, from descriptor sets and by reflection, and serves them in place of what it has; what has
   * changed goes into the log. With a configuration, by its `contracts`, `workflows`, `backends` and `faults`; its other
   * keys need a restart. Attempts that are being made go on, and so do runs, unless their contract has changed too much: they are
   * PARKED (CONTRACT_CHANGED). When it throws, everything stays as it was, and the log says why. Certificates whose files
   * have changed are served to new connections, whatever becomes of the rest.
   *
   * @param config or what reads it: then the log says why it cannot be read, too
   * @throws ContractError, ConfigError, ReflectionError, JournalUnavailableError, TypeError
   */
  reload(config?: GivenConfig | (() => Promise<GivenConfig>)): Promise<void>;

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
export function createServer(config: GivenConfig = {}, options: ServerOptions = {}): RetakeServer {
  return new Server(create(ServerConfigSchema, config), options);
}

class Server implements RetakeServer {
  #given: ServerConfig;
  #config: ResolvedConfig;
  readonly #clock: Clock;
  readonly #random: RandomSource;
  readonly #processLoad: ProcessLoad;
  readonly #log: Logger;
  /** The log itself, and what is exported of it. */
  readonly #logging: { readonly own: Logger; readonly forwarded: ForwardedLog };
  readonly #otel: OtelEnvironment;
  readonly #openStorage: ServerOptions["openStorage"];
  readonly #connectEndpoint: ConnectEndpoint | undefined;
  readonly #env: Environment;
  readonly #auditSinks: readonly AuditSink[];
  readonly #forwardedAudit = new ForwardedAudit();
  /** Without pseudonyms until the data directory is open: their key is in it. */
  #redactor: TextRedactor;
  readonly #services = new Map<string, DescService>();
  readonly #handlers = new Map<string, WorkflowHandler>();
  readonly #converters = new Map<string, AnyConverter>();
  readonly #losses: FallbackLosses;
  readonly #jobs = new Map<string, ServiceJobs>();
  readonly #crash: (() => void) | undefined;
  readonly #process: HostProcess | undefined;
  readonly #onAdminKey: (made: FirstAdminKey) => void;
  readonly #newAdminKey: boolean;
  readonly #authenticators: readonly Authenticator[];
  readonly #sources: ContractSources;
  /** Aborted when nothing is waited for any more. */
  readonly #stopping = new AbortController();
  #reloading: Promise<void> = Promise.resolve();
  #running: Running | undefined;
  #leaveProcess: (() => void) | undefined;
  #starting: Promise<Running> | undefined;
  #closing: Promise<void> | undefined;

  /** @throws ConfigError */
  constructor(given: ServerConfig, options: ServerOptions) {
    this.#given = given;
    this.#config = resolveConfig(given);
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#processLoad = options.load ?? (this.#clock === systemClock ? createSystemLoad() : noLoad);
    this.#env = options.env ?? process.env;
    this.#crash = options.crash;
    this.#process = options.process;
    this.#authenticators = options.authenticators ?? [];
    this.#auditSinks = options.auditSinks ?? [];
    this.#redactor = createTextRedactor(keylessRedaction(this.#config));
    this.#otel = readOtelEnvironment(process.env);
    // Handlers are loaded before anybody counts, and have their instruments by then.
    if (this.#config.telemetry !== undefined) processMeters.offer();
    const own = options.log ?? createLog({ ...this.#config.log, redact: (line) => this.#redactor.jsonLine(line) });
    this.#logging = { own, forwarded: new ForwardedLog(own, () => this.#clock.now()) };
    this.#log = this.#otel.logs === undefined ? own : this.#logging.forwarded;
    this.#losses = new FallbackLosses(this.#log);
    this.#sources = new ContractSources({ clock: this.#clock, log: this.#log });
    this.#openStorage = options.openStorage;
    this.#connectEndpoint = options.connectEndpoint;
    this.#newAdminKey = options.newAdminKey ?? false;
    this.#onAdminKey =
      options.onAdminKey ??
      (({ keyId, path }) => this.#log.info({ keyId, path }, "an admin key has been made; this file has it"));
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

  implement<Desc extends DescService>(
    service: Desc,
    implementation: WorkflowImpl<Desc>,
    jobs?: ServiceJobs,
  ): RetakeServer {
    this.serve(service);
    if (jobs !== undefined) {
      if (this.#jobs.has(service.typeName)) {
        throw new TypeError(`${service.typeName} has been told twice what can be done about its jobs`);
      }
      this.#jobs.set(service.typeName, jobs);
    }
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

  convert<Workflow extends DescMethod, Fallback extends DescMethod>(
    name: string,
    converter: FallbackConverter<Workflow, Fallback>,
  ): RetakeServer {
    if (this.#starting !== undefined) {
      throw new TypeError(`the server listens already: register the converter "${name}" before listen()`);
    }
    if (name === "" || this.#converters.has(name)) {
      throw new TypeError(name === "" ? "a converter needs a name" : `there are two converters named "${name}"`);
    }
    this.#converters.set(name, anyConverter(converter));
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
    this.#starting = this.#start().catch((error: unknown) => {
      throw withPlaces(error, this.#given);
    });
    try {
      this.#running = await this.#starting;
    } catch (error) {
      this.#starting = undefined;
      throw error;
    }
    return this;
  }

  reload(given?: GivenConfig | (() => Promise<GivenConfig>)): Promise<void> {
    // One after the other, each on top of what came before.
    const reloaded = this.#reloading.then(() => this.#reload(given));
    this.#reloading = reloaded.catch(() => undefined);
    return reloaded;
  }

  close(options?: { readonly drainTimeoutMs?: number }): Promise<void> {
    this.#stopping.abort(new TypeError("the server has been closed"));
    this.#closing ??= this.#stop(options?.drainTimeoutMs ?? this.#config.drainTimeoutMs);
    return this.#closing;
  }

  async #start(): Promise<Running> {
    keepTickShape();
    const config = this.#config;
    const secrets = new WebhookSecrets(config.webhooks.secrets, this.#env, this.#clock, this.#log);
    const tls = readTls(config);
    const { authenticators, followed } = await createAuthenticators(config.security, {
      clock: this.#clock,
      log: this.#log,
    });
    const opener = this.#startStorage();
    const notePath = join(config.dataDirectory, crashNoteName);
    const scopes = this.#process && new AttemptScopes();
    this.#leaveProcess = this.#process && scopes && this.#answerFor(this.#process, scopes, notePath);
    const closers = [
      () => opener.end(),
      async () => {
        for (const each of followed) each.close();
      },
    ];
    try {
      const { services, endpoints, retryBudgets } = await this.#load(config, startPatienceMs);
      const reflectionOn = config.grpc?.reflection === true;
      const contracts = createContractRegistry(this.#contracts(services, config));
      assertImplemented(contracts.workflows.keys(), this.#handlers, endpoints);
      assertSigned(contracts, config);
      assertAccess(contracts.contents, config);
      this.#assertFaults(contracts, config);
      await this.#assertAlerting(contracts, config);
      this.#losses.tell(contracts);
      const opening = opener.open(config, this.#clock);
      // Loaded while the thread is at work, and only where there is a web port: it is a sixth of all modules.
      if (config.web !== undefined) import("./web-front.ts").catch(() => undefined);
      const storage = await opening;
      closers[0] = () => storage.close();
      const validator = createRequestValidator(contracts);
      const redaction = redactionOf(config, this.#random, this.#openStorage !== undefined);
      this.#redactor = createTextRedactor(redaction);
      const payloads = encryptedPayloads(config, storage, this.#clock, this.#random, this.#openStorage !== undefined);
      await payloads.open(contracts.workflows.values().some(({ sensitive }) => sensitive));
      const audit = await startAudit({
        config,
        redaction,
        journal: storage.journal,
        inMemory: this.#openStorage !== undefined,
        sinks: this.#auditSinks,
        exported: this.#otel.logs === undefined ? undefined : this.#forwardedAudit,
        clock: this.#clock,
        random: this.#random,
        log: this.#log,
      });
      if (audit !== undefined) {
        closers.unshift(async () => {
          await audit.noted;
          await audit.log.close();
        });
      }
      const scheduler = createEmbeddedScheduler({ clock: this.#clock });
      const severe = new SevereFailures();
      const instruments = config.telemetry && new Instruments(config.telemetry.cardinalityLimit);
      const exporting = await this.#startExporting(instruments, storage.journal);
      if (exporting !== undefined) closers.unshift(() => exporting.close());
      const redact = remembering(this.#redactor).text;
      const userMetrics = new UserMetrics(
        instruments,
        (err, metric) => this.#log.warn({ err, metric }, "what a handler measures cannot be taken, and is left out"),
        redact,
      );
      const engine = new Engine({
        config,
        contracts,
        endpoints,
        retryBudgets,
        handlers: this.#handlers,
        jobs: this.#jobs,
        crash: this.#crash,
        scopes,
        validator,
        secrets,
        journal: storage.journal,
        payloads,
        artifacts: storage.artifacts,
        scheduler,
        gates: createEmbeddedGates({ scheduler }),
        feed: createEmbeddedFeed({
          onError: (error, runId) => {
            const run = engine.live.get(runId)?.record;
            const fields = run === undefined ? { run_id: runId } : runFields(run.accepted);
            this.#log.error({ err: error, ...fields }, "a watcher could not be told");
          },
        }),
        load: this.#processLoad,
        observer: observers([
          instruments && new RunMetrics(instruments, { clock: this.#clock, redact, severe }),
          exporting?.tracing?.runs,
        ]),
        backends: backendTelemetry(instruments, exporting),
        connectEndpoint: this.#connectEndpoint,
        ...(instruments && { onBreaker: countBreakers(instruments), onWebhook: countWebhooks(instruments) }),
        clock: this.#clock,
        random: this.#random,
        log: this.#log,
        auditLog: audit?.log,
        redactor: this.#redactor,
        maxMessageBytes: maxMessageBytes(config),
        userMetrics,
        inputs: heldInputs(config, this.#openStorage !== undefined, this.#log),
      });
      if (instruments !== undefined) {
        observeEngine(instruments, engine);
        if (this.#openStorage === undefined) observeDisk(instruments, config.dataDirectory, this.#clock);
      }
      closers.unshift(() => engine.drain(0));
      await engine.open(this.#readCrashNote(notePath));
      this.#forgetCrashNote(notePath);
      const authentication = new Authentication({
        config,
        journal: storage.journal,
        clock: this.#clock,
        random: this.#random,
        log: this.#log,
        audit: engine.audit,
        embedded: this.#openStorage === undefined,
        newAdminKey: this.#newAdminKey,
        onAdminKey: this.#onAdminKey,
      });
      closers.unshift(() => authentication.close());
      await authentication.open();
      const health = createHealth();
      const alerts = Promise.withResolvers<Alerts | undefined>();
      const monitoring = Promise.withResolvers<Monitoring | undefined>();
      const board = new StatusBoard({ engine, version: ownVersion });
      if (instruments !== undefined) observeHealth(instruments, () => board.health());
      const routes: Route[] = [
        route(RunService, createRunService(engine, config.security.input)),
        route(ArtifactService, createArtifactService(engine)),
        route(AdminService, createAdminService(engine, authentication)),
        route(
          MonitoringService,
          createMonitoringService({
            engine,
            board,
            userMetrics,
            monitoring: monitoring.promise,
            alerts: alerts.promise,
            severe,
          }),
        ),
        route(Health, health.service),
      ];
      if (reflectionOn) {
        const reflection = createReflection(contracts);
        routes.push(
          route(ServerReflection, reflection.v1, { grpcOnly: true }),
          route(ServerReflectionV1Alpha, reflection.v1alpha, { grpcOnly: true }),
        );
      }
      const passed = {
        config,
        authenticators: [...this.#authenticators, ...authentication.authenticators, ...authenticators],
        lockout: authentication.lockout,
        access: engine.access,
        limits: engine.limits,
        validator,
        contracts,
        audit: engine.audit,
        clock: this.#clock,
        random: this.#random,
        log: this.#log,
      };
      const running = new Running({
        config,
        instruments,
        exporting,
        ownsData: this.#openStorage === undefined,
        alerts,
        board,
        onMonitoring: monitoring.resolve,
        env: this.#env,
        engine,
        auditNoted: audit?.noted,
        authentication,
        storage,
        health,
        ownRoutes: routes,
        interceptors: rpcInterceptors(passed),
        entry: entryInterceptors(passed),
        clock: this.#clock,
        log: this.#log,
      });
      running.serveContracts(services);
      closers.unshift(() => running.closePorts());
      await running.listen({ config, tls, contracts, followed });
      // Only now: a server that cannot listen must not have executed anything, nor told a key.
      await authentication.start();
      engine.start();
      exporting?.retell();
      running.serve();
      running.monitor();
      return running;
    } catch (error) {
      for (const close of closers) {
        await close().catch(() => undefined);
      }
      this.#leaveProcess?.();
      throw error;
    }
  }

  async #startExporting(instruments: Instruments | undefined, journal: Journal): Promise<Exporting | undefined> {
    const environment = this.#otel;
    for (const problem of environment.problems) this.#log.warn({ problem }, "a variable of OpenTelemetry says nothing");
    const { traces, metrics, logs } = environment;
    if (traces === undefined && metrics === undefined && logs === undefined) return undefined;
    const { startExporting } = await import("./start-exporting.ts");
    const { own: log, forwarded } = this.#logging;
    return startExporting({
      spansPerSecond: this.#config.telemetry?.spansPerSecond ?? defaultSpansPerSecond,
      ...{ environment, instruments, journal, clock: this.#clock, random: this.#random, log, forwarded },
      audit: this.#forwardedAudit,
      // Another one is made each time that the server starts to listen.
      redactor: () => this.#redactor,
    });
  }

  #startStorage(): StorageOpener {
    const open = this.#openStorage;
    if (open === undefined) return startEmbeddedStorage();
    return { open: async () => await open(this.#config, this.#clock, this.#log), end: async () => undefined };
  }

  #load(config: ResolvedConfig, patienceMs: number): Promise<LoadedContracts> {
    return this.#sources.load(config, {
      services: [...this.#services.values()],
      implemented: new Set([...this.#handlers.keys()].map((name) => name.slice(0, name.indexOf("/")))),
      patienceMs,
      signal: this.#stopping.signal,
    });
  }

  #contracts(services: readonly DescService[], { grpc, overrides }: ResolvedConfig): Contracts {
    const reflection = grpc?.reflection === true ? [ServerReflection, ServerReflectionV1Alpha] : [];
    return {
      services,
      ownServices: [RunService, ArtifactService, AdminService, MonitoringService, Health, ...reflection],
      overrides,
      converters: this.#converters,
    };
  }

  async #reload(from: GivenConfig | (() => Promise<GivenConfig>) | undefined): Promise<void> {
    const running = this.#running;
    if (running === undefined || this.#closing !== undefined) {
      throw new TypeError("a server can be told to reload while it listens");
    }
    running.checkFiles();
    let given = this.#given;
    try {
      const init = typeof from === "function" ? await from() : from;
      if (init !== undefined) given = create(ServerConfigSchema, init);
      const config = resolveConfig(given);
      const loaded = await this.#load(config, 0);
      const before = running.contracts.workflows;
      const alerting = this.#config.monitoring && config.monitoring;
      const next: ResolvedConfig = {
        ...this.#config,
        ...{ overrides: config.overrides, faults: config.faults },
        ...(alerting && { monitoring: { ...alerting, series: this.#config.monitoring?.series ?? alerting.series } }),
      };
      const contracts = running.contracts.read(this.#contracts(loaded.services, next));
      assertImplemented(contracts.workflows.keys(), this.#handlers, loaded.endpoints);
      assertSigned(contracts, next);
      assertAccess(contracts, next);
      this.#assertFaults(contracts, next);
      await this.#assertAlerting(contracts, next);
      await running.reload(contracts, loaded, next);
      this.#losses.tell(contracts);
      const restart = restartKeys(this.#given, given);
      if (restart.length > 0) {
        this.#log.warn({ keys: restart }, "the configuration has changed where only a restart makes a difference");
      }
      this.#given = given;
      this.#config = next;
      this.#log.info(contractChanges(before, running.contracts.workflows), "the contracts have been read anew");
    } catch (thrown) {
      const error = withPlaces(thrown, given);
      this.#log.error({ err: error }, "the contracts cannot be read anew: those from before go on being served");
      throw error;
    }
  }

  #assertFaults(contracts: Pick<ReadContracts, "workflows">, { faults }: ResolvedConfig): void {
    const problems = faultProblems(faults, {
      workflows: contracts.workflows,
      nowMs: this.#clock.now(),
      canCrash: this.#crash !== undefined,
    });
    if (problems.length > 0) {
      throw new ConfigError("configuration", problems);
    }
  }

  /** @throws ConfigError */
  async #assertAlerting(
    { workflows }: Pick<ReadContracts, "workflows">,
    { monitoring }: ResolvedConfig,
  ): Promise<void> {
    if (monitoring === undefined) return;
    const { rules, slos, notifiers, routes, disabledRules } = monitoring;
    // Without any of them there is nothing to check, and no reason to load that much.
    if ([rules, slos, notifiers, routes, disabledRules].every(({ length }) => length === 0)) return;
    const { checkAlerting } = await import("./alerts.ts");
    await checkAlerting(monitoring, { workflows, env: this.#env, clock: this.#clock, log: this.#log });
  }

  async #stop(drainTimeoutMs: number): Promise<void> {
    // A start that fails has cleaned up, and tells whoever called listen().
    const running = await this.#starting?.catch(() => undefined);
    try {
      await running?.stop(drainTimeoutMs);
    } finally {
      this.#leaveProcess?.();
    }
  }

  #answerFor(process: HostProcess, scopes: AttemptScopes, notePath: string): () => void {
    return answerFor({
      ...{ process, scopes, clock: this.#clock, random: this.#random },
      // What waits to be exported would be lost with the process.
      log: this.#logging.own,
      note: (crash) => writeCrashNote(notePath, crash),
    });
  }

  /** What it says is in the journal now. Left behind, it is about an attempt that has ended, and about none that begins later. */
  #forgetCrashNote(path: string): void {
    if (this.#process === undefined) return;
    try {
      removeCrashNote(path);
    } catch (err) {
      this.#log.warn({ err, path }, "the note on what ended the last process cannot be removed");
    }
  }

  #readCrashNote(path: string): Crash | undefined {
    if (this.#process === undefined) return undefined;
    try {
      const crash = readCrashNote(path);
      if (crash !== undefined) {
        const { runId, failure } = crash;
        const fields = { run_id: runId, referenceId: failure.referenceId };
        this.#log.warn(
          fields,
          "the last process was ended by an error of a handler; other runs are not held responsible",
        );
      }
      return crash;
    } catch (err) {
      this.#log.warn({ err, path }, "what ended the last process cannot be read; all of its runs are held responsible");
      return undefined;
    }
  }
}

/** All that are there as one. */
function observers(given: readonly (RunObserver | undefined)[]): RunObserver | undefined {
  const [first, ...others] = given.filter((observer) => observer !== undefined);
  if (first === undefined || others.length === 0) return first;
  const all = [first, ...others];
  const ignores = new Set(first.ignores);
  for (const kind of first.ignores ?? []) {
    if (others.some((one) => one.ignores?.has(kind) !== true)) ignores.delete(kind);
  }
  return {
    // Absent where nobody asks for it: it takes reading.
    ...(all.some(({ retold }) => retold !== undefined) && {
      retold: (...told: Parameters<NonNullable<RunObserver["retold"]>>) => {
        for (const one of all) one.retold?.(...told);
      },
    }),
    ignores,
    found: (run) => {
      for (const one of all) one.found(run);
    },
    committed: (...told) => {
      for (const one of all) one.committed(...told);
    },
  };
}

function backendTelemetry(instruments: Instruments | undefined, exporting: Exporting | undefined): BackendTelemetry {
  const spans = exporting?.tracing?.spans;
  return {
    ...(instruments && { metrics: new BackendCallMetrics(instruments) }),
    ...(spans && { traceparent: (...of) => spans.traceparentOf(...of) }),
  };
}

/** As long as a back-end may take to start that is started together with the server. */
const startPatienceMs = 60_000;

interface ListenOptions {
  readonly config: ResolvedConfig;
  readonly tls: FrontsTls;
  readonly contracts: ContractRegistry;
  readonly followed: readonly Followed[];
}

interface RunningOptions {
  readonly config: ResolvedConfig;
  /** Absent where nothing is measured. */
  readonly instruments: Instruments | undefined;
  /** Absent where nothing is exported. */
  readonly exporting: Exporting | undefined;
  /** Whether the data directory is this server's. */
  readonly ownsData: boolean;
  /** Told once they are watched over, or that they are not. */
  readonly alerts: PromiseWithResolvers<Alerts | undefined>;
  readonly board: StatusBoard;
  /** The journal is not closed before. */
  readonly auditNoted: Promise<void> | undefined;
  /** Called once things are measured, or that they are not. */
  readonly onMonitoring: (monitoring: Monitoring | undefined) => void;
  readonly env: Environment;
  readonly engine: Engine;
  readonly authentication: Pick<Authentication, "release" | "close">;
  readonly storage: Storage;
  readonly health: HealthReporter;
  /** Those that no contract changes. */
  readonly ownRoutes: readonly Route[];
  readonly interceptors: readonly Interceptor[];
  /** Those of them that find out who calls. */
  readonly entry: readonly Interceptor[];
  readonly clock: Clock;
  readonly log: Logger;
}

/** A server that listens. */
class Running {
  /** The same over all changes of the contracts. */
  readonly transport: Transport = {
    unary: (...call) => this.#inProcess.unary(...call),
    stream: (...call) => this.#inProcess.stream(...call),
  };
  readonly #options: RunningOptions;
  readonly #offStatus: () => void;
  #services: readonly DescService[] = [];
  #routes: readonly Route[] = [];
  #inProcess: Transport;
  #grpc: GrpcFront | undefined;
  #web: WebFront | undefined;
  #followed: readonly Followed[] = [];
  #monitoring: Promise<Monitoring | undefined> = Promise.resolve(undefined);
  #stopping = false;

  constructor(options: RunningOptions) {
    this.#options = options;
    const { storage, log } = options;
    this.#inProcess = this.#createTransport();
    this.#offStatus = storage.journal.onStatus((status) => {
      if (status.kind === "failing") {
        log.error({ err: status.cause }, "the journal cannot be written; no new runs until it can");
      } else {
        log.info({}, "the journal can be written again");
      }
      this.serve();
      options.board.changed();
    });
    options.engine.policies.onChanged = () => this.#followPolicies();
    options.board.startMs = options.clock.now();
    options.board.notServingReason = () => this.unready();
    options.board.onReadiness = () => this.#followReadiness();
  }

  get grpc(): ServerAddress | undefined {
    return addressOf(this.#grpc);
  }

  get web(): ServerAddress | undefined {
    return addressOf(this.#web);
  }

  get contracts(): ContractRegistry {
    return this.#options.engine.contracts;
  }

  /** Serves the contracts of today, on all fronts, from the next call on. */
  serveContracts(services: readonly DescService[]): void {
    this.#services = services;
    const { engine, ownRoutes, health } = this.#options;
    const { workflows } = engine.contracts;
    const gone = new Set(this.#routes.map(({ service }) => service.typeName));
    this.#routes = [
      ...ownRoutes,
      ...services.map((service) => route(service, createWorkflowService(service, workflows, engine))),
    ];
    for (const { service } of this.#routes) {
      gone.delete(service.typeName);
    }
    this.#inProcess = this.#createTransport();
    this.#grpc?.serve(this.#routes);
    this.#web?.serve(this.#routes);
    for (const name of gone) {
      health.remove(name);
    }
  }

  /** Serves other contracts. @throws JournalUnavailableError, before anything is changed */
  async reload(
    contracts: ReadContracts,
    loaded: LoadedContracts,
    { faults, monitoring }: Pick<ResolvedConfig, "faults" | "monitoring">,
  ): Promise<void> {
    const { engine, alerts } = this.#options;
    await engine.adopt(contracts, loaded);
    if (monitoring !== undefined) await (await alerts.promise)?.configure(monitoring);
    engine.faults.configure(faults);
    this.serveContracts(loaded.services);
    this.serve();
    await engine.wakeWaiting();
  }

  /** Lets calls and waiting runs go by other policies. */
  async #followPolicies(): Promise<void> {
    const { engine, log } = this.#options;
    this.serveContracts(this.#services);
    try {
      await engine.wakeWaiting();
    } catch (error) {
      log.warn({ err: error }, "runs that wait could not be woken for another policy; they see it at their next turn");
    }
  }

  #createTransport(): Transport {
    const { interceptors, clock } = this.#options;
    const specs = this.#routes.map(({ service, implementation }) => createServiceImplSpec(service, implementation));
    return createInProcessTransport(specs, { interceptors, clock });
  }

  /** Opens the ports. @throws Error naming one that cannot be bound */
  async listen({ config, tls, contracts, followed }: ListenOptions): Promise<void> {
    const routes = this.#routes;
    const { instruments, exporting, clock, log } = this.#options;
    const metrics = instruments && new CallMetrics(instruments);
    const spans = exporting?.tracing?.spans;
    const isMeasured = metrics !== undefined || spans !== undefined;
    const measured = (system: (header: Headers) => RpcSystem) => {
      const options = { metrics, spans, system, clock };
      return {
        interceptors: [...(isMeasured ? [telemetry(options)] : []), ...this.#options.interceptors],
        ...(isMeasured && {
          onUnknownCall: (path: string, header: Headers) => countUnknownCall(options, path, header),
          onRefusedCall: (call: RefusedCall) => countRefusedCall(options, call),
        }),
      };
    };
    if (config.grpc !== undefined) {
      this.#grpc = await listenGrpcFront({
        config: config.grpc,
        proxies: config.security.proxies,
        reading: config.security.input,
        ...{ tls: tls.grpc, routes, ...measured(() => "grpc"), clock, log },
      });
    }
    if (config.web !== undefined) {
      const { listenWebFront } = await import("./web-front.ts");
      this.#web = await listenWebFront({
        config: config.web,
        proxies: config.security.proxies,
        reading: config.security.input,
        tls: tls.web,
        anonymousLevel: config.security.anonymousLevel,
        routes,
        ...measured(webSystem),
        contracts,
        probes: this,
        metrics: this.#metricsEndpoint(config),
        artifacts: createClient(ArtifactService, this.transport),
        clock,
        log,
      });
    }
    this.#followed = [...followed, ...this.#followTls(config, tls)];
  }

  #followTls(config: ResolvedConfig, served: FrontsTls): FileChanges[] {
    const { clock, log } = this.#options;
    const fronts = { grpc: this.#grpc, web: this.#web };
    return (["grpc", "web"] as const).flatMap((name) => {
      const [tls, first, front] = [config[name]?.tls, served[name], fronts[name]];
      if (tls === undefined || first === undefined || front === undefined) return [];
      const renew = (files: ServerTls): void => front.renewTls(files);
      return [followTlsFiles({ tls, served: first, where: `${name}.tls`, renew, clock, log })];
    });
  }

  /** Looks at once whether files have changed that are followed. */
  checkFiles(): void {
    for (const each of this.#followed) each.check();
  }

  /** Begins to watch over what the server does. It works without, so that nobody waits for it, and only the log is told. */
  monitor(): void {
    const { config, instruments, exporting, ownsData, clock, log } = this.#options;
    if (instruments === undefined) {
      this.#options.alerts.resolve(undefined);
      this.#options.onMonitoring(undefined);
      return;
    }
    this.#monitoring = nextTurn(clock)
      .then(() => import("./start-monitoring.ts"))
      .then(({ startMonitoring }) =>
        startMonitoring({
          ...{ config, instruments, exporting, ownsData, clock, log },
          redact: remembering(this.#options.engine.redactor).text,
          watch: async (store) => {
            const alerts = await this.#watch(store, instruments);
            this.#options.board.follow(store, alerts);
            return alerts;
          },
          onSampled: (timeMs) => this.#options.board.sampled(timeMs),
        }),
      )
      .finally(() => this.#options.alerts.resolve(undefined))
      .catch((error: unknown) => {
        log.error(
          { err: error },
          "monitoring cannot be started: there are no metrics until the server is started anew",
        );
        return undefined;
      });
    void this.#monitoring.then(this.#options.onMonitoring);
  }

  #metricsEndpoint({ telemetry }: ResolvedConfig): RawService | undefined {
    if (telemetry?.metricsEndpoint !== true) {
      return undefined;
    }
    const { engine, entry: interceptors, clock, log } = this.#options;
    const monitoring = (): Promise<Monitoring | undefined> => this.#monitoring;
    // Loaded by whoever asks first.
    const endpoint = async (): Promise<RawService> => {
      const { WebMetrics } = await import("./web-metrics.ts");
      const metrics = new WebMetrics({ monitoring, clock, log });
      const { metricsLevel: min } = telemetry;
      if (min === AccessLevel.PUBLIC) return metrics;
      const { guardMetrics } = await import("./metrics-access.ts");
      return guardMetrics(metrics, { min, interceptors, access: engine.access });
    };
    let made: ReturnType<typeof endpoint> | undefined;
    return {
      serve: async (request, response) => {
        made ??= endpoint();
        await (await made).serve(request, response);
      },
    };
  }

  async #watch(store: SeriesStore, instruments: Instruments): Promise<Alerts | undefined> {
    const { config, engine, env, alerts, log } = this.#options;
    if (config.monitoring === undefined) return undefined;
    try {
      const { Alerts } = await import("./alerts.ts");
      const { journal, qualityLevels, clock, random } = engine;
      const opened = await Alerts.open({
        ...{ config: config.monitoring, store, journal, qualityLevels, instruments, env, clock, random, log },
      });
      alerts.resolve(opened);
      return opened;
    } catch (error) {
      log.error({ err: error }, "alerts cannot be watched over: there are none until the server is started anew");
      return undefined;
    }
  }

  /** Tells everybody who asks whether the server takes work. */
  serve(): void {
    const status = this.unready() === "" ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
    const { health } = this.#options;
    health.set(overallHealth, status);
    for (const { service } of this.#routes) {
      health.set(service.typeName, status);
    }
  }

  /** A journal that only a restart can mend makes the process one to be restarted. */
  alive(): boolean {
    const { status } = this.#options.storage.journal;
    return !(status.kind === "failing" && status.needsRestart === true);
  }

  unready(): string {
    if (this.#stopping) {
      return "the server is about to stop";
    }
    const { status } = this.#options.storage.journal;
    if (status.kind === "failing") return `the journal cannot be written: ${status.cause.message}`;
    return this.#options.board.readiness.reason;
  }

  #followReadiness(): void {
    const { board, log } = this.#options;
    const { reason } = board.readiness;
    if (reason === "") log.info({}, "the server can take work again");
    else log.error({ reason }, "the server cannot do its work: it tells whoever asks that it is not ready");
    this.serve();
  }

  async stop(drainTimeoutMs: number): Promise<void> {
    this.#stopping = true;
    this.#options.health.shutdown();
    this.#options.board.changed();
    this.#options.authentication.release();
    try {
      await this.#options.engine.drain(drainTimeoutMs);
    } finally {
      await this.closePorts();
      // What is on record by now is exported before exporting ends.
      await this.#options.engine.auditLog?.flush();
      await this.#closeMonitoring();
      await this.#options.authentication.close();
      await this.#options.auditNoted;
      await this.#options.engine.auditLog?.close();
      await this.#options.storage.close();
    }
  }

  async #closeMonitoring(): Promise<void> {
    const { exporting, log } = this.#options;
    for (const close of [async () => (await this.#monitoring)?.close(), async () => exporting?.close()]) {
      try {
        await close();
      } catch (error) {
        log.error({ err: error }, "what was measured last could not be kept, or sent");
      }
    }
  }

  async closePorts(): Promise<void> {
    this.#offStatus();
    for (const each of this.#followed) each.close();
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
  endpoints: ServiceEndpoints,
): void {
  const missing = [...workflows].filter((name) => {
    const own = endpoints.get(name.slice(0, name.indexOf("/")))?.endpoints;
    return !handlers.has(name) && (own === undefined || own.some(({ target }) => target === inProcessTarget));
  });
  if (missing.length > 0) {
    throw new TypeError(
      `nothing carries out ${missing.join(", ")}: implement it, or name a back-end for its service in the configuration (backends)`,
    );
  }
}

/** Nobody can trust what nobody signs. @throws TypeError naming the workflows whose ends are told */
function assertSigned(contracts: Pick<ReadContracts, "workflows">, { webhooks }: ResolvedConfig): void {
  const telling = unsignedEnds(contracts, webhooks).map(({ where }) => where);
  if (telling.length > 0) {
    throw new TypeError(
      `the ends of ${telling.join(", ")} are told to others (notify), and nothing signs that: make a secret with ` +
        `"retake webhook secret", and name where it is in the configuration, webhooks: { secrets: [{ environment: RETAKE_WEBHOOK_SECRET }] }`,
    );
  }
}

/** @throws ContractError, ConfigError naming the workflows and rules that nobody can be let in by */
function assertAccess(contracts: ReadContracts, { security }: Pick<ResolvedConfig, "security">): void {
  const problems = accessProblems(contracts);
  if (problems.length > 0) throw new ContractError(problems);
  const unknown = Object.entries(security.access.rules).flatMap(([name, { methods }]) =>
    unknownMethods(methods, contracts).map((message) => ({
      field: `security.access.rules["${name}"].methods`,
      message,
    })),
  );
  if (unknown.length > 0) throw new ConfigError("configuration", unknown);
}

/** The smaller of the two, so that what came in by one front can be read by the other. */
function maxMessageBytes({ grpc, web }: ResolvedConfig): number {
  return Math.min(
    grpc?.limits.maxMessageBytes ?? Number.POSITIVE_INFINITY,
    web?.limits.maxMessageBytes ?? Number.POSITIVE_INFINITY,
  );
}
