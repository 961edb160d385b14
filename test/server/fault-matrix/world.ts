import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { onTestFinished } from "vitest";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { AlertSeverity, AlertState } from "../../../gen/retake/v1/alert_pb.js";
import type { FaultSchema } from "../../../gen/retake/v1/fault_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { durationFromMs } from "../../../src/runs/time.ts";
import { createServer, type RetakeServer, type WorkflowImpl } from "../../../src/server/server.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/index.ts";
import { createTestServer, type TestServerOptions } from "../../../src/testing/test-server.ts";
import { createGrpcTransport } from "../../../src/transport/index.ts";
import { everyoneIsAdmin } from "../../everyone-is-admin.ts";
import { QualityService } from "../../gen/retake/test/v1/quality_pb.js";
import { WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";
import { handlers } from "../handlers.ts";

export const second = 1_000;
export const minute = 60 * second;
export const hour = 60 * minute;

/** As often as samples are taken. */
const tickMs = 10 * second;

export const nameOf = (method: string): string => `${WorkflowsService.typeName}/${method}`;

export type Effect = NonNullable<Exclude<MessageInitShape<typeof FaultSchema>, { $typeName: string }>["effect"]>;

/** What a storage does before it says that something is durable. */
export type Durable = () => Promise<void>;

export interface WorldOptions extends Pick<TestServerOptions, "config" | "load" | "env"> {
  readonly own?: WorkflowImpl<typeof WorkflowsService>;
  readonly clock?: VirtualClock;
  readonly storage?: TestServerOptions["storage"];
  readonly durable?: (clock: VirtualClock) => Durable;
  /** Whether there is a gRPC port. */
  readonly port?: boolean;
  /** Default: handlers in the process carry out WorkflowsService. */
  readonly elsewhere?: boolean;
  /** Whether it has no WorkflowsService any more. */
  readonly without?: boolean;
  /** Where a data directory may be: runs are in SQLite then, as those of real servers are. */
  readonly dataDirectory?: string;
}

/** A server on virtual time whose alerts are watched, in a process that is well. */
export interface World {
  readonly options: WorldOptions;
  readonly clock: VirtualClock;
  readonly storage: NonNullable<TestServerOptions["storage"]>;
  readonly runs: Client<typeof RunService>;
  readonly admin: Client<typeof AdminService>;
  readonly monitoring: Client<typeof MonitoringService>;
  /** By its port. */
  readonly remote: Transport;
  /** Starts runs of a workflow, which nobody waits for. */
  start(method: string, count?: number): Promise<void>;
  /** Reads its configuration anew, which is now this. */
  reload(changed: WorldOptions["config"]): Promise<void>;
  inject(method: string, effect: Effect, percentage?: number): Promise<void>;
  heal(): Promise<void>;
  /** Lets time pass from sample to sample, and does something between them. */
  pass(ms: number, meanwhile?: (tick: number) => Promise<unknown>): Promise<void>;
  /** Waits for real input and output, while nearly no virtual time passes. */
  settle<T>(work: Promise<T>): Promise<T>;
  /** What has fired since the beginning, each at its worst: `Rule severity Method`. The dead-man alert is left out. */
  fired(): Promise<string[]>;
  /** What fires now. */
  firing(): Promise<string[]>;
  /** Whether the dead-man alert fires. */
  lives(): Promise<boolean>;
  close(): Promise<void>;
}

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const clock = options.clock ?? createVirtualClock();
  const durable = options.durable?.(clock);
  const storage = options.storage ?? createMemoryStorage({ clock, ...(durable && { durable }) });
  const { server } = serverOf(options, clock, storage);
  if (options.elsewhere) server.serve(WorkflowsService);
  else if (!options.without) server.implement(WorkflowsService, handlers(options.own));
  server.implement(QualityService, {
    paint: ({ strokes, varnish }) => ({ strokes, varnish }),
    async *paintSlowly({ strokes }) {
      yield { update: { case: "strokes", value: strokes } };
    },
    sketch: ({ lines }) => ({ lines }),
    exhibit: ({ strokes }) => ({ strokes }),
  });
  await settle(clock, server.listen());
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    await settle(clock, server.close({ drainTimeoutMs: 0 }));
  };
  onTestFinished(close);
  const { transport } = server;
  const remote = createGrpcTransport({ target: `127.0.0.1:${server.grpc?.port ?? 1}` });
  onTestFinished(() => remote.close());
  const runs = createClient(RunService, transport);
  const admin = createClient(AdminService, transport);
  const monitoring = createClient(MonitoringService, transport);
  await settle(clock, monitoring.listAlertRules({}));
  const history = async () => (await monitoring.listAlertHistory({ limit: 1_000 })).changes;
  const faultIds: string[] = [];
  return {
    ...{ options, clock, storage, runs, admin, monitoring, remote, close },
    async start(method, count = 1) {
      const workflow = method.includes("/") ? method : nameOf(method);
      for (let i = 0; i < count; i++) await runs.startRun({ workflow }).catch(() => undefined);
    },
    reload: (changed) => settle(clock, server.reload({ ...configOf(options), ...(changed as object) })),
    async inject(method, effect, percentage = 100) {
      const fault = { workflow: nameOf(method), effect, percentage };
      const injected = await admin.injectFault({ fault, duration: durationFromMs(24 * hour) });
      faultIds.push(injected.fault?.faultId ?? "");
    },
    async heal() {
      for (const faultId of faultIds.splice(0)) await admin.removeFault({ faultId });
    },
    async pass(ms, meanwhile) {
      for (let tick = 0; tick < ms / tickMs; tick++) {
        await meanwhile?.(tick);
        await clock.advance(tickMs);
      }
    },
    settle: (work) => settle(clock, work),
    async fired() {
      const worst = new Map<string, AlertSeverity>();
      for (const { rule, labels, state, severity } of await history()) {
        if (state !== AlertState.FIRING || rule === deadMan) continue;
        const key = keyOf(rule, labels);
        worst.set(key, Math.max(severity, worst.get(key) ?? 0));
      }
      return Array.from(worst, ([key, severity]) => shown(key, severity)).sort();
    },
    async firing() {
      const { alerts } = await monitoring.listAlerts({ states: [AlertState.FIRING, AlertState.RECOVERING] });
      return alerts
        .filter(({ rule }) => rule !== deadMan)
        .map(({ rule, labels, severity }) => shown(keyOf(rule, labels), severity))
        .sort();
    },
    async lives() {
      const { alerts } = await monitoring.listAlerts({ rule: deadMan, states: [AlertState.FIRING] });
      return alerts.length === 1;
    },
  };
}

const deadMan = "RetakeDeadMan";

function configOf({ config = {}, port }: WorldOptions): object {
  return {
    ...{ monitoring: {}, web: { disabled: true }, grpc: port ? { port: 0 } : { disabled: true } },
    ...(config as object),
    security: { ...everyoneIsAdmin, ...(config.security as object) },
  };
}

function serverOf(options: WorldOptions, clock: VirtualClock, storage: World["storage"]): { server: RetakeServer } {
  const { load, env = {}, dataDirectory } = options;
  const config = configOf(options);
  if (dataDirectory === undefined) return createTestServer({ clock, storage, env, config, ...(load && { load }) });
  return { server: createServer({ ...config, dataDirectory }, { clock, env, log: silentLogger }) };
}

async function settle<T>(clock: VirtualClock, work: Promise<T>): Promise<T> {
  let done = false;
  const marked = work.finally(() => {
    done = true;
  });
  marked.catch(() => undefined);
  while (!done) {
    await clock.advance(1);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return marked;
}

/** With the workflow's method, or who else it is about. */
function keyOf(rule: string, { retake_workflow: workflow, notifier, retake_service: service }: Record<string, string>) {
  const about = workflow?.slice(workflow.indexOf("/") + 1) ?? notifier ?? service;
  return about === undefined ? rule : `${rule} ${about}`;
}

function shown(key: string, severity: AlertSeverity): string {
  const [rule = "", ...about] = key.split(" ");
  return [rule, AlertSeverity[severity]?.toLowerCase(), ...about].join(" ");
}
