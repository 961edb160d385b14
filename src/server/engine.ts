import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { Fault } from "../../gen/retake/v1/fault_pb.js";
import { type FallbackStarted, RunState } from "../../gen/retake/v1/run_pb.js";
import {
  type Backend,
  type BackendTelemetry,
  type ConnectEndpoint,
  createInProcessBackend,
  type EndpointStanding,
  Endpoints,
  invoke,
  type Job,
  probeWorkflow,
  Recoveries,
  type ServiceEndpoints,
  type ServiceJobs,
  type WorkflowHandler,
} from "../backends/index.ts";
import type { Clock, RandomSource, Timer } from "../clock.ts";
import { inProcessTarget, type ResolvedConfig } from "../config/index.ts";
import type { ContractRegistry, ReadContracts, Workflow } from "../contract/index.ts";
import type { RequestValidator } from "../interceptors/rpc/index.ts";
import {
  deadline,
  fallback,
  faults,
  gate,
  park,
  quality,
  record,
  recovery,
  retry,
  timeout,
  uncaught,
} from "../interceptors/run/index.ts";
import type { ProcessLoad } from "../process-load.ts";
import {
  Acceptance,
  ArtifactRetention,
  type Artifacts,
  type AttemptScopes,
  type AttemptWorkServices,
  type BackendBudget,
  Breakers,
  type BreakerTransition,
  ContractCheck,
  type Crash,
  composeRun,
  createError,
  Delegation,
  draining,
  type EndpointSlots,
  Faults,
  type Feed,
  type Gates,
  type HeldInputs,
  type Journal,
  LiveRuns,
  type Logger,
  Overload,
  Pauses,
  type Payloads,
  PolicyOverrides,
  QualityLevels,
  Retakes,
  Retention,
  type RetentionLimit,
  RetryBudgets,
  type RunObserver,
  type RunRecord,
  type RunRequest,
  recover,
  retireAtMs,
  type Scheduler,
  StoredRetryBudgets,
  Turns,
  Watch,
  within,
} from "../runs/index.ts";
import {
  AccessControl,
  AccessRules,
  type Audit,
  type AuditLog,
  accessProblems,
  CallLimits,
  noAudit,
  type TextRedactor,
} from "../security/index.ts";
import { runFields } from "../trace-fields.ts";
import type { HandlerMetrics } from "../user-metrics.ts";
import { WebhookOutbox, type WebhookOutboxOptions, type WebhookSecrets } from "../webhooks/index.ts";
import { auditBreaker } from "./audit-breaker.ts";
import { OpenCalls } from "./open-calls.ts";
import { OverriddenPolicies } from "./overridden-policies.ts";
import { unsignedEnds } from "./unsigned-ends.ts";

/** Runs that are woken before the next ones are looked up. */
const wakePage = 500;

/** What an engine stands on. */
export interface EngineOptions {
  readonly config: Pick<
    ResolvedConfig,
    "artifacts" | "concurrencyLimit" | "faults" | "overload" | "retention" | "security" | "webhooks"
  >;
  /** Services that are not among them have handlers in this process. */
  readonly endpoints: ServiceEndpoints;
  /** By service. */
  readonly retryBudgets: ReadonlyMap<string, BackendBudget>;
  readonly contracts: ContractRegistry;
  readonly handlers: ReadonlyMap<string, WorkflowHandler>;
  /** What handlers offer beside carrying out workflows, by service. */
  readonly jobs: ReadonlyMap<string, ServiceJobs>;
  /** Ends the process at once, for drills; absent where that is not allowed. */
  readonly crash?: (() => void) | undefined;
  /** Where it is to be known whose errors are that nobody catches. */
  readonly scopes?: AttemptScopes | undefined;
  readonly validator: RequestValidator;
  /** What signs webhooks. */
  readonly secrets: WebhookSecrets;
  readonly journal: Journal;
  readonly payloads: Payloads;
  readonly artifacts: Artifacts;
  readonly scheduler: Scheduler;
  readonly gates: Gates;
  readonly feed: Feed;
  readonly load: ProcessLoad;
  /** Absent where nothing is measured. */
  readonly observer?: RunObserver | undefined;
  readonly backends?: BackendTelemetry | undefined;
  /** Default: by gRPC. */
  readonly connectEndpoint?: ConnectEndpoint | undefined;
  /** Told of each transition of a breaker. Must not throw. */
  readonly onBreaker?: (transition: BreakerTransition) => void;
  readonly onWebhook?: WebhookOutboxOptions["onOutcome"];
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
  /** Absent where none is kept. */
  readonly auditLog?: AuditLog | undefined;
  readonly redactor: TextRedactor;
  readonly maxMessageBytes: number;
  /** What handlers add to. */
  readonly userMetrics: HandlerMetrics;
  readonly inputs: HeldInputs;
}

/** Everything that executes runs, wired up: the stages of the policy are composed here, and nowhere else. */
export class Engine {
  readonly contracts: ContractRegistry;
  readonly validator: RequestValidator;
  readonly journal: Journal;
  readonly payloads: Payloads;
  readonly artifacts: Artifacts;
  readonly gates: Gates;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
  readonly audit: Audit;
  readonly auditLog: AuditLog | undefined;
  readonly redactor: TextRedactor;
  readonly live: LiveRuns;
  readonly turns: Turns;
  readonly acceptance: Acceptance;
  readonly watch: Watch;
  readonly retention: Retention;
  readonly artifactRetention: ArtifactRetention;
  /** Of one message, in bytes. */
  readonly maxMessageBytes: number;
  readonly outbox: WebhookOutbox;
  readonly pauses: Pauses;
  readonly faults: Faults;
  /** Absent where nothing counts as trouble. */
  readonly overload: Overload | undefined;
  readonly qualityLevels: QualityLevels;
  readonly breakers: Breakers;
  readonly retryBudgets: RetryBudgets;
  readonly recoveries: Recoveries;
  /** Who may do what. */
  readonly access: AccessControl;
  readonly accessRules: AccessRules;
  /** How often. */
  readonly limits: CallLimits;
  /** What is overridden of the contracts' policies while the server runs. */
  readonly policies: OverriddenPolicies;
  /** Where callers may have the ends of their runs posted to. */
  readonly allowedUrls: readonly string[];
  /** Aborted when open calls are answered for the last time. */
  readonly closing = new AbortController();
  readonly openCalls = new OpenCalls(this.closing.signal);
  /** Told when a breaker, or the quality of a workflow, is in another state. */
  onTurnedOver: (() => void) | undefined;
  readonly #scheduler: Scheduler;
  readonly #contractCheck: ContractCheck;
  readonly #endpoints: Endpoints;
  readonly #retakes = new Retakes();
  readonly #inputs: HeldInputs;
  readonly #storedRetryBudgets: StoredRetryBudgets;
  readonly #serviceEndpoints: ServiceEndpoints;
  readonly #configuredFaults: readonly Fault[];
  readonly #observer: RunObserver | undefined;

  constructor(options: EngineOptions) {
    const { clock, random, log, journal, payloads, artifacts, feed, gates, scheduler, contracts, config } = options;
    this.contracts = contracts;
    this.validator = options.validator;
    this.journal = journal;
    this.payloads = payloads;
    this.artifacts = artifacts;
    this.maxMessageBytes = options.maxMessageBytes;
    this.gates = gates;
    this.clock = clock;
    this.random = random;
    this.log = log;
    this.auditLog = options.auditLog;
    this.audit = options.auditLog ?? noAudit;
    this.redactor = options.redactor;
    this.#scheduler = scheduler;
    this.#serviceEndpoints = options.endpoints;
    this.#configuredFaults = config.faults;
    this.#observer = options.observer;
    this.#inputs = options.inputs;
    this.#endpoints = new Endpoints({
      inProcess: createInProcessBackend(options.handlers, options.jobs),
      clock,
      log,
      telemetry: options.backends,
      connectEndpoint: options.connectEndpoint,
      onSlots: (slots) => this.#onSlots(slots),
    });
    this.#contractCheck = new ContractCheck(contracts, journal);
    this.pauses = new Pauses({ journal, scheduler, clock });
    this.faults = new Faults({ journal, clock, random, log, crash: options.crash });
    this.qualityLevels = new QualityLevels({
      journal,
      clock,
      log,
      policy: (workflow) => contracts.workflows.get(workflow)?.policy,
      onChange: () => this.onTurnedOver?.(),
    });
    this.breakers = new Breakers({
      journal,
      scheduler,
      clock,
      random,
      log,
      backendOf: (workflow) => this.backendName(workflow),
      probe: (name) => {
        const workflow = contracts.workflows.get(name);
        const options = { endpoints: this.#endpoints, clock, signal: this.closing.signal };
        return workflow && probeWorkflow(options, workflow);
      },
      onTransition: (transition) => {
        auditBreaker(this.audit, transition);
        options.onBreaker?.(transition);
        this.onTurnedOver?.();
      },
    });
    this.retryBudgets = new RetryBudgets({ scheduler, clock });
    this.retryBudgets.configure(options.retryBudgets);
    this.#storedRetryBudgets = new StoredRetryBudgets({ retryBudgets: this.retryBudgets, journal, clock, log });
    this.policies = new OverriddenPolicies({
      contracts,
      overrides: new PolicyOverrides({ journal, clock }),
      problems: (read) => [...unsignedEnds(read, config.webhooks), ...accessProblems(read)],
      onServed: () => {
        this.qualityLevels.rearm();
        this.breakers.retain(contracts.workflows.values());
      },
      log,
    });
    this.access = new AccessControl({ contracts, clock, log });
    this.accessRules = new AccessRules({
      control: this.access,
      configured: config.security.access.rules,
      audit: this.audit,
      ...{ contracts, journal, clock, log },
    });
    this.limits = new CallLimits(config.security.rateLimits, clock);
    this.allowedUrls = config.webhooks.allowedUrls;
    this.outbox = new WebhookOutbox({
      config: config.webhooks,
      secrets: options.secrets,
      contracts,
      journal,
      payloads,
      gates,
      pauses: this.pauses,
      clock,
      random,
      log,
      onOutcome: options.onWebhook,
    });
    this.live = new LiveRuns({
      journal,
      inputs: options.inputs,
      feed,
      clock,
      outbox: this.outbox,
      observer: options.observer,
      retireAtMs: (run) => retireAtMs(run, contracts.workflows.get(run.accepted.workflow)?.policy, config.retention),
      onFallbackEnded: ({ record: { accepted } }) => {
        const { parentRunId, priority } = accepted;
        // In this turn of the event loop its answer shares the fallback's commit: one sync less to wait for.
        if (this.live.get(parentRunId) === undefined) scheduler.wake(parentRunId, 0, priority);
        else void this.turns.take(parentRunId);
      },
      onLost: (run, error) => {
        this.live.drop(run);
        // A place that is kept for it would be nobody's: read anew, it asks again.
        this.#standAside(run.id);
        this.turns.readAnew(run);
        log.error(
          { err: error, ...runFields(run.record.accepted) },
          "an event could not be appended; the run is read anew",
        );
      },
    });
    const work: AttemptWorkServices = {
      live: this.live,
      // The acceptance needs the turns, and those the stages: it exists by the time an attempt is made.
      acceptance: { accept: (order) => this.acceptance.accept(order) },
      contracts: this.#contractCheck,
      payloads,
      artifacts,
      feed,
      clock,
      random,
      maxMessageBytes: options.maxMessageBytes,
      metrics: options.userMetrics,
      validate: (schema, message) => this.validator.validate(schema, message),
      cancelChild: (...child) => this.turns.cancelChild(...child),
    };
    const delegation = new Delegation({
      ...work,
      mappings: () => contracts.mappings,
    });
    this.recoveries = new Recoveries({
      endpoints: this.#endpoints,
      clock,
      // The past: as soon as possible, whatever the clock does.
      wake: (runId, priority) => scheduler.wake(runId, 0, priority),
    });
    const afterFailure = [
      fallback({
        delegation,
        withdraw: (runId) => this.#withdraw(runId),
        endpoints: (workflow) => this.endpoints(workflow),
      }),
      retry({ clock, random }),
    ];
    const { scopes } = options;
    const chain = composeRun(
      [
        deadline({ clock }),
        park({ breakers: this.breakers, clock }),
        ...afterFailure,
        recovery({
          clock,
          log,
          pauses: this.pauses,
          next: (...failure) => this.recoveries.next(...failure),
        }),
        gate({
          gates,
          pauses: this.pauses,
          breakers: this.breakers,
          retryBudgets: this.retryBudgets,
          concurrencyLimit: config.concurrencyLimit,
          endpoints: (workflow, avoided) =>
            avoided === undefined
              ? this.endpoints(workflow)
              : this.#endpoints.butFor(workflow.service.typeName, avoided),
          workflow: (name) => contracts.workflows.get(name),
        }),
        quality({ levels: this.qualityLevels }),
        record({ clock, random, contracts, payloads, log }),
        timeout({ clock, probe: (request) => this.#probe(request) }),
        faults({ faults: this.faults, clock, log }),
        ...(scopes === undefined ? [] : [uncaught({ scopes, endpoint: inProcessTarget, clock })]),
      ],
      invoke({
        live: this.live,
        work,
        clock,
        random,
        log,
        backend: (_, endpoint) => this.#backend(endpoint),
      }),
    );
    this.turns = new Turns({
      live: this.live,
      scheduler,
      gates,
      payloads,
      contracts: this.#contractCheck,
      pauses: this.pauses,
      breakers: this.breakers,
      retakes: this.#retakes,
      withdraw: (runId) => this.#withdraw(runId),
      standAside: (runId) => this.#standAside(runId),
      chain,
      afterFailure: (failure) => composeRun(afterFailure, async () => ({ kind: "failed", failure })),
      clock,
      random,
      log,
    });
    this.overload =
      config.overload && new Overload({ thresholds: config.overload, load: options.load, journal, clock, random, log });
    this.acceptance = new Acceptance({
      live: this.live,
      turns: this.turns,
      gates,
      breakers: this.breakers,
      pauses: this.pauses,
      retakes: this.#retakes,
      inputs: this.#inputs,
      concurrencyLimit: config.concurrencyLimit,
      overload: this.overload,
      journal,
      payloads,
      artifacts,
      clock,
      random,
      maxMessageBytes: options.maxMessageBytes,
    });
    this.watch = new Watch({
      journal,
      payloads,
      feed,
      live: this.live,
      clock,
      fallbackUpdate: (...update) => this.#fallbackUpdate(...update),
    });
    this.retention = new Retention({
      journal,
      payloads,
      artifacts,
      clock,
      log,
      limits: () => retentionLimits(contracts, config),
    });
    this.artifactRetention = new ArtifactRetention({ artifacts, journal, clock, log, times: config.artifacts });
  }

  /**
   * Takes over what an earlier process left behind. Nothing is executed before `start`.
   *
   * @param crash what is known of how that process ended
   */
  async open(crash?: Crash): Promise<void> {
    await this.#contractCheck.store();
    await this.pauses.open();
    await this.policies.open();
    await this.accessRules.open();
    await this.faults.open(this.#configuredFaults);
    await this.qualityLevels.open();
    this.#endpoints.configure(this.#serviceEndpoints);
    await this.#storedRetryBudgets.open();
    // They ask where the attempts of their workflows are made.
    await this.breakers.open(this.contracts.workflows.values());
    const recovered = await recover({
      live: this.live,
      turns: this.turns,
      journal: this.journal,
      scheduler: this.#scheduler,
      contracts: this.#contractCheck,
      retakes: this.#retakes,
      inputs: this.#inputs,
      clock: this.clock,
      log: this.log,
      observer: this.#observer,
      crash,
      cancelJob: (run) => this.#cancelJob(run),
    });
    if (recovered.runs > 0) {
      this.log.info(recovered, "open runs of the last process go on");
    }
  }

  /** Hands out turns. */
  start(): void {
    this.breakers.start();
    this.#scheduler.start((runId) => this.turns.take(runId));
    this.retention.start();
    this.artifactRetention.start();
    this.outbox.start();
  }

  /**
   * Accepts nothing more, gives running attempts some time, then hands the rest back and answers all who still wait.
   * Resolves when all of it is durable, or the journal fails: what it does not take by then, the next start finds as it
   * was.
   */
  async drain(timeoutMs: number): Promise<void> {
    this.acceptance.drain();
    this.overload?.close();
    this.qualityLevels.stop();
    const time = Promise.withResolvers<void>();
    const timer: Timer = this.clock.setTimeout(time.resolve, timeoutMs);
    // Ends that attempts come to meanwhile are told still.
    await Promise.race([this.turns.idle().then(() => this.outbox.settle()), time.promise]);
    timer.cancel();
    await this.#unlessJournalFails(() =>
      Promise.all([
        this.turns.handBack(),
        this.#scheduler.stop(),
        this.breakers.stop(),
        this.retention.stop(),
        this.artifactRetention.stop(),
        this.outbox.stop(),
      ]).then(() => this.#storedRetryBudgets.close()),
    );
    for (const run of this.live.values()) {
      run.refuse(draining());
    }
    this.retryBudgets.close();
    this.closing.abort(draining());
    this.faults.close();
    this.recoveries.close();
    this.#endpoints.close();
  }

  /** Waits for work on the journal, which waits without end while that fails. */
  async #unlessJournalFails(work: () => Promise<unknown>): Promise<void> {
    const { journal } = this;
    const failing = Promise.withResolvers<void>();
    const tell = ({ kind }: Journal["status"]): void => {
      if (kind === "failing") {
        failing.resolve();
      }
    };
    const off = journal.onStatus(tell);
    tell(journal.status);
    await Promise.race([work(), failing.promise]).finally(off);
  }

  /**
   * Sees that the messages of a run can be read by the contract of today.
   *
   * @throws ConnectError FAILED_PRECONDITION when the contract has changed too much
   */
  async assertReadable({ accepted }: RunRecord): Promise<void> {
    const verdict = await this.#contractCheck.check(accepted);
    if (verdict.kind === "changed") {
      throw createError(
        Code.FailedPrecondition,
        "CONTRACT_CHANGED",
        `run ${accepted.runId} was accepted under another contract, and its messages cannot be read by this one: ${verdict.problem}`,
      );
    }
  }

  /**
   * From now on these contracts are executed, at these endpoints, under these budgets. Attempts that are being made go on to their end.
   *
   * @throws JournalUnavailableError when the contracts cannot be stored; then everything stays as it was
   */
  async adopt(
    contracts: ReadContracts,
    { endpoints, retryBudgets }: Pick<EngineOptions, "endpoints" | "retryBudgets">,
  ): Promise<void> {
    await this.policies.adopt(
      contracts,
      () => this.#contractCheck.store(contracts.workflows, { impatient: true }),
      () => {
        this.qualityLevels.rearm();
        this.#endpoints.configure(endpoints);
        this.retryBudgets.configure(retryBudgets);
        this.breakers.retain(this.contracts.workflows.values());
      },
    );
  }

  #onSlots(slots: EndpointSlots): void {
    this.gates.setSlots(slots);
    if (slots.unhealthy !== true) {
      return;
    }
    for (const workflow of this.contracts.workflows.values()) {
      const mayDelegate =
        workflow.policy.fallbacks.length > 0 &&
        this.endpoints(workflow).some(({ endpoint }) => endpoint === slots.endpoint);
      if (mayDelegate) {
        this.wakeWaiting(workflow.name).catch((error: unknown) =>
          this.log.error({ err: error, workflow: workflow.name }, "runs could not be told that an endpoint is away"),
        );
      }
    }
  }

  /**
   * Gives every run that waits a turn, or those of one workflow, so that it sees what has changed: its contract, its
   * endpoints, its policy.
   */
  async wakeWaiting(workflow?: string): Promise<void> {
    for (const { turn, record } of this.live.values()) {
      if (workflow === undefined || record.accepted.workflow === workflow) {
        // It may wait for a permit again, behind a child.
        turn?.onPoke?.();
      }
    }
    // What waits since just now must be found.
    await this.journal.flush();
    let beforePosition: number | undefined;
    do {
      const rows = await this.journal.listRuns(
        {
          states: [RunState.QUEUED, RunState.PARKED, RunState.DELEGATED],
          ...(workflow === undefined ? {} : { workflow }),
        },
        { limit: wakePage, ...(beforePosition === undefined ? {} : { beforePosition }) },
      );
      for (const { runId } of rows) {
        this.#scheduler.wake(runId, 0);
      }
      beforePosition = rows.length < wakePage ? undefined : rows.at(-1)?.position;
    } while (beforePosition !== undefined);
  }

  /** Where the attempts of a workflow can be made; those that are not healthy have no slots. */
  endpoints({ service }: Workflow): readonly EndpointSlots[] {
    return this.#endpoints.of(service.typeName);
  }

  /** Which endpoints of back-ends take attempts. */
  endpointStandings(): Iterable<EndpointStanding> {
    return this.#endpoints.standings();
  }

  /** Nothing of an update is worth ending the call of whoever waits for the result. */
  #fallbackUpdate(name: string, started: FallbackStarted, message: Uint8Array): Uint8Array | undefined {
    const workflow = this.contracts.workflows.get(name);
    const fallback = this.contracts.workflows.get(started.workflow);
    if (workflow === undefined || fallback === undefined) {
      return undefined;
    }
    try {
      const mapping = this.contracts.mappings.by(started.converter, workflow, fallback);
      if (mapping.problems.length > 0) {
        return undefined;
      }
      const mapped = mapping.update(fromBinary(fallback.output, message));
      return mapped && toBinary(workflow.output, mapped);
    } catch (error) {
      this.log.warn(
        { err: error, run_id: started.childRunId, workflow: name, fallback: started.workflow },
        "an update of a fallback is left out",
      );
      return undefined;
    }
  }

  /** What carries out the attempts of a workflow, in one name. */
  backendName(workflow: Workflow): string {
    return this.endpoints(workflow)
      .map(({ endpoint }) => endpoint)
      .sort()
      .join(", ");
  }

  /** Whatever a run waits for, or was let through to, goes to others. */
  #withdraw(runId: string): void {
    this.#standAside(runId);
    this.recoveries.withdraw(runId);
  }

  #standAside(runId: string): void {
    this.gates.withdraw(runId);
    this.breakers.withdraw(runId);
    this.retryBudgets.withdraw(runId);
    this.pauses.withdraw(runId);
    this.#retakes.withdraw(runId);
  }

  #backend(endpoint: string): Backend {
    const backend = this.#endpoints.backend(endpoint);
    if (backend === undefined) {
      throw createError(
        Code.Unavailable,
        "ENDPOINT_GONE",
        `the endpoint ${endpoint} has been taken out of the configuration`,
      );
    }
    return backend;
  }

  #probe({ run, workflow, attempt }: RunRequest) {
    const backend = attempt === undefined ? undefined : this.#endpoints.backend(attempt.endpoint);
    if (attempt === undefined || backend?.probe === undefined) {
      return undefined;
    }
    const { accepted } = run;
    const job: Job = { workflow: workflow.name, runId: accepted.runId, attempt: attempt.number, token: attempt.token };
    return async (signal: AbortSignal) => backend.probe?.({ ...job, ...this.#handleOf(run) }, signal);
  }

  #handleOf({ checkpoint }: Readonly<RunRecord>): { readonly handle?: Uint8Array } {
    if (checkpoint === undefined) return {};
    return { handle: this.payloads.openHandle?.(checkpoint.handle) ?? checkpoint.handle };
  }

  async #cancelJob(run: RunRecord): Promise<void> {
    const { accepted, attempt } = run;
    const backend = attempt === undefined ? undefined : this.#endpoints.backend(attempt.endpoint);
    if (attempt === undefined || backend?.cancel === undefined) {
      return;
    }
    const { runId, workflow } = accepted;
    const job: Job = { workflow, runId, attempt: attempt.number, token: attempt.token, ...this.#handleOf(run) };
    try {
      await within(this.clock, cancelJobTimeoutMs, async (signal) => backend.cancel?.(job, signal));
    } catch (error) {
      this.log.warn(
        { err: error, ...runFields(accepted, attempt.number) },
        "a job that was left behind could not be cancelled",
      );
    }
  }
}

/** The server starts only after that: a back-end that is gone must not keep it from starting. */
const cancelJobTimeoutMs = 5_000;

/** Of the workflows, then of all of them together. */
function retentionLimits(contracts: ContractRegistry, config: EngineOptions["config"]): readonly RetentionLimit[] {
  const limits: RetentionLimit[] = [];
  for (const { name: workflow, policy } of contracts.workflows.values()) {
    for (const [state, most] of policy.retention.most ?? []) {
      limits.push({ state, workflow, most });
    }
  }
  for (const [state, most] of config.retention.most ?? []) {
    limits.push({ state, most });
  }
  return limits;
}
