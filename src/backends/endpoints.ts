import { Code, type Transport } from "@connectrpc/connect";
import { type ChannelOptions, connectivityState } from "@grpc/grpc-js";
import { RecoveryAction } from "../../gen/retake/v1/options_pb.js";
import type { Clock } from "../clock.ts";
import { inProcessTarget, type ResolvedEndpoint, type ResolvedOutlierDetection } from "../config/index.ts";
import { createError, type EndpointSlots, type Logger } from "../runs/index.ts";
import { createGrpcTransport, type TlsOptions, tlsChannel } from "../transport/index.ts";
import type { Backend } from "./backend.ts";
import { HealthProbe, type HealthProbeOptions } from "./health-probe.ts";
import { type OutlierGroup, type OutlierMember, Outliers, Standing } from "./outliers.ts";
import { type BackendTelemetry, createRemoteBackend } from "./remote.ts";
import { createRemoteJobs } from "./remote-jobs.ts";

/** An endpoint with its certificates at hand. */
export interface EndpointSettings extends Omit<ResolvedEndpoint, "tls"> {
  readonly tls?: TlsOptions;
}

/** Where the attempts of one service can be made. */
export interface ServiceBackend {
  readonly endpoints: readonly EndpointSettings[];
  /** Absent where no endpoint is taken out for failing. */
  readonly outlierDetection?: ResolvedOutlierDetection;
}

/** Where the attempts of each service can be made. */
export type ServiceEndpoints = ReadonlyMap<string, ServiceBackend>;

/** Whether an endpoint takes attempts for a service. */
export interface EndpointStanding {
  readonly service: string;
  readonly target: string;
  /** Neither unhealthy nor taken out for failing. */
  readonly available: boolean;
}

export interface EndpointsOptions {
  /** Carries out what no back-end is named for. */
  readonly inProcess: Backend;
  readonly clock: Clock;
  readonly log: Logger;
  readonly telemetry?: BackendTelemetry | undefined;
  /** How an endpoint is connected. Default: by gRPC. */
  readonly connectEndpoint?: ConnectEndpoint | undefined;
  /** Called when an endpoint gets its slots back, or loses them. */
  onSlots(slots: EndpointSlots): void;
}

const inProcessSlots: readonly EndpointSlots[] = [
  slotsOf({ target: inProcessTarget, slots: Number.POSITIVE_INFINITY }),
];

/**
 * The endpoints of all back-ends: one connection each, whatever names it, and how it does. What an attempt asks of it is
 * a look-up; probes, and attempts that fail, change what is looked up.
 */
export class Endpoints {
  readonly #options: EndpointsOptions;
  readonly #connections = new Map<string, Connection>();
  readonly #outliers: Outliers;
  #services: ServiceEndpoints = new Map();
  readonly #slots = new Map<string, readonly EndpointSlots[]>();

  constructor(options: EndpointsOptions) {
    this.#options = options;
    this.#outliers = new Outliers({
      clock: options.clock,
      log: options.log,
      groupsOf: (target) => this.#groupsOf(target),
      onChange: (target) => this.#changed(target),
    });
  }

  /**
   * From now on these are the endpoints. Those that are new are connected and probed; attempts at others go on to their
   * end.
   */
  configure(services: ServiceEndpoints): void {
    const all = [...services.values()].flatMap(({ endpoints }) => endpoints);
    const settings = new Map(all.map((endpoint) => [endpoint.target, endpoint] as const));
    for (const [target, connection] of this.#connections) {
      const next = settings.get(target);
      if (next === undefined || !connection.serves(next)) {
        connection.close();
        this.#connections.delete(target);
      }
    }
    this.#services = services;
    this.#slots.clear();
    for (const endpoint of settings.values()) {
      if (endpoint.target === inProcessTarget) {
        continue;
      }
      let connection = this.#connections.get(endpoint.target);
      if (connection === undefined) {
        connection = this.#connect(endpoint);
        this.#connections.set(endpoint.target, connection);
      }
      connection.settings = endpoint;
      this.#options.onSlots(slotsOf(endpoint, connection));
    }
    this.#outliers.reconsider([...services.values()].map((service) => this.#groupOf(service)));
  }

  /** Of one service, as they are right now. */
  of(service: string): readonly EndpointSlots[] {
    return this.#slots.get(service) ?? this.#read(service);
  }

  /** The same without one of them, where another one takes attempts. */
  butFor(service: string, target: string): readonly EndpointSlots[] {
    const all = this.of(service);
    const others = all.filter(({ endpoint }) => endpoint !== target);
    return others.some(({ slots }) => slots > 0) ? others : all;
  }

  /** How those do that are not in this process. */
  *standings(): Iterable<EndpointStanding> {
    for (const [service, { endpoints }] of this.#services) {
      for (const { target } of endpoints) {
        if (target === inProcessTarget) continue;
        const slots = this.of(service).find(({ endpoint }) => endpoint === target);
        yield { service, target, available: (slots?.slots ?? 0) > 0 };
      }
    }
  }

  backend(target: string): Backend | undefined {
    return target === inProcessTarget ? this.#options.inProcess : this.#connections.get(target)?.backend;
  }

  /**
   * Sees that another endpoint of a service is healthy; whether there is another one at all.
   *
   * @throws ConnectError UNAVAILABLE when none of them is
   */
  async switchFrom(service: string, target: string): Promise<boolean> {
    const others = this.of(service).filter(({ endpoint }) => endpoint !== target);
    if (others.length === 0) {
      return false;
    }
    const connections = others.map(({ endpoint }) => this.#connections.get(endpoint));
    const healthy = connections.map(async (connection) => {
      // Not there: a handler in this process.
      if (connection !== undefined && (connection.standing.ejection !== undefined || !(await connection.check()))) {
        throw new Error("not healthy");
      }
    });
    await Promise.any(healthy).catch(() => {
      throw createError(
        Code.Unavailable,
        "NO_OTHER_ENDPOINT",
        `no other endpoint is healthy: ${others.map(({ endpoint }) => endpoint).join(", ")}`,
      );
    });
    return true;
  }

  close(): void {
    for (const connection of this.#connections.values()) {
      connection.close();
    }
  }

  #read(service: string): readonly EndpointSlots[] {
    const endpoints = this.#services.get(service)?.endpoints;
    const slots = endpoints?.map((endpoint) => slotsOf(endpoint, this.#connections.get(endpoint.target)));
    this.#slots.set(service, slots ?? inProcessSlots);
    return slots ?? inProcessSlots;
  }

  #groupOf({ endpoints, outlierDetection }: ServiceBackend): OutlierGroup {
    const members = endpoints.map(
      ({ target }): OutlierMember => this.#connections.get(target) ?? { target, healthy: target === inProcessTarget },
    );
    return { members, ...(outlierDetection && { detection: outlierDetection }) };
  }

  #groupsOf(target: string): readonly OutlierGroup[] {
    return [...this.#services.values()]
      .filter(({ endpoints }) => endpoints.some((endpoint) => endpoint.target === target))
      .map((service) => this.#groupOf(service));
  }

  #changed(target: string): void {
    this.#slots.clear();
    const connection = this.#connections.get(target);
    if (connection !== undefined) {
      this.#options.onSlots(slotsOf(connection.settings, connection));
    }
  }

  #connect(endpoint: EndpointSettings): Connection {
    const { clock, log, telemetry } = this.#options;
    const { target } = endpoint;
    return new Connection(endpoint, {
      clock,
      telemetry,
      connectEndpoint: this.#options.connectEndpoint ?? connectEndpoint,
      onHealth: (health, before) => {
        if (health.kind === "unhealthy") {
          log.warn(
            { endpoint: target, why: health.why },
            "an endpoint is not healthy: it gets no attempts until it is back",
          );
        } else if (before.kind === "unhealthy") {
          log.info({ endpoint: target }, "an endpoint is healthy again");
        }
        this.#changed(target);
        this.#outliers.reconsider(this.#groupsOf(target));
      },
      onFailure: (standing, service) => {
        const backend = this.#services.get(service);
        if (backend !== undefined && this.#connections.get(target)?.standing === standing) {
          this.#outliers.failed(target, standing, this.#groupOf(backend));
        }
      },
    });
  }
}

interface ConnectionOptions {
  readonly telemetry: BackendTelemetry | undefined;
  readonly clock: Clock;
  readonly connectEndpoint: ConnectEndpoint;
  readonly onHealth: HealthProbeOptions["onChange"];
  /** Called when an attempt for a service has failed in a way that speaks against the endpoint. */
  onFailure(standing: Standing, service: string): void;
}

/** A remote endpoint: its channel, its probe, and how it does. */
class Connection implements OutlierMember {
  /** Their slots may change. */
  settings: EndpointSettings;
  readonly backend: Backend;
  readonly standing = new Standing();
  readonly #clock: Clock;
  readonly #connect: ConnectEndpoint;
  readonly #probe: HealthProbe | undefined;
  #channel: Channel;
  #closed = false;

  constructor(settings: EndpointSettings, options: ConnectionOptions) {
    const { clock, telemetry, onHealth, onFailure } = options;
    this.settings = settings;
    this.#clock = clock;
    this.#connect = options.connectEndpoint;
    this.#channel = this.#connect(settings);
    // The same over all its channels.
    const transport: Transport = {
      unary: (...call) => this.#channel.transport.unary(...call),
      stream: (...call) => this.#channel.transport.stream(...call),
    };
    const { target, healthCheck } = settings;
    const isDown = (): boolean => this.#channel.isDown();
    this.#probe =
      healthCheck === undefined
        ? undefined
        : new HealthProbe({ ...healthCheck, transport, isDown, clock, onChange: onHealth });
    const { standing } = this;
    const jobs = createRemoteJobs(transport);
    this.backend = {
      ...jobs,
      ...createRemoteBackend(transport, target, {
        clock,
        telemetry,
        onUnavailable: () => this.#probe?.probe(),
        onSuccess: () => {
          standing.failuresInRow = 0;
        },
        onFailure: (service) => onFailure(standing, service),
      }),
      recover: (action, job, signal) =>
        action === RecoveryAction.RECONNECT ? this.#reconnect() : jobs.recover(action, job, signal),
    };
    this.#probe?.probe();
  }

  get unhealthy(): boolean {
    return this.#probe?.health.kind === "unhealthy";
  }

  get target(): string {
    return this.settings.target;
  }

  get healthy(): boolean {
    return this.#probe === undefined || this.#probe.health.kind === "healthy";
  }

  /** Whether it is healthy, asked anew. */
  async check(): Promise<boolean> {
    return this.#probe === undefined || (await this.#probe.check()).kind === "healthy";
  }

  /** Whether it is what these settings ask for, but for the slots. */
  serves(settings: EndpointSettings): boolean {
    const unslotted = (of: EndpointSettings): string => JSON.stringify({ ...of, slots: 0 });
    return unslotted(settings) === unslotted(this.settings);
  }

  close(): void {
    this.#closed = true;
    this.#probe?.stop();
    this.standing.ejection?.cancel();
    this.#channel.close();
  }

  /** From the next call on by a new channel; calls that are under way go on. @throws ConnectError when it does not connect */
  async #reconnect(): Promise<true> {
    if (this.#closed) {
      throw createError(Code.Unavailable, "ENDPOINT_GONE", "it is no endpoint any more");
    }
    const before = this.#channel;
    this.#channel = this.#connect(this.settings);
    // A call that has chosen its channel may not have begun yet.
    this.#clock.setImmediate(() => before.close());
    if (this.#probe === undefined) {
      await this.#channel.waitUntilReady(reconnectTimeoutMs);
      return true;
    }
    const health = await this.#probe.check();
    if (health.kind === "unhealthy") {
      throw createError(Code.Unavailable, "NOT_RECONNECTED", `it is connected anew, and not healthy: ${health.why}`);
    }
    return true;
  }
}

/** As long as a name, a connection and a TLS handshake take when all of them are slow. */
const reconnectTimeoutMs = 10_000;

function slotsOf(endpoint: Pick<EndpointSettings, "target" | "slots">, connection?: Connection): EndpointSlots {
  const { target, slots } = endpoint;
  const isOut = connection !== undefined && (!connection.healthy || connection.standing.ejection !== undefined);
  return {
    endpoint: target,
    key: `endpoint/${target}`,
    slots: isOut ? 0 : slots,
    ...(connection?.unhealthy === true ? { unhealthy: true } : {}),
  };
}

export interface Channel {
  readonly transport: Transport;
  /** Whether no connection can be made for the moment: every call fails at once. */
  isDown(): boolean;
  /** Rejects when it is not connected by then. */
  waitUntilReady(timeoutMs: number): Promise<void>;
  /** Calls that are under way go on. */
  close(): void;
}

export type ConnectEndpoint = (settings: Omit<EndpointSettings, "slots">) => Channel;

/** A channel to a back-end. @throws TypeError for TLS that cannot work */
export function connectEndpoint(settings: Omit<EndpointSettings, "slots">): Channel {
  const { target, tls, keepaliveTimeMs, keepaliveTimeoutMs } = settings;
  const secured = tls === undefined ? undefined : tlsChannel(tls, target);
  const transport = createGrpcTransport({
    target,
    channelOptions: {
      ...channelOptions,
      ...secured?.channelOptions,
      "grpc.keepalive_time_ms": keepaliveTimeMs,
      "grpc.keepalive_timeout_ms": keepaliveTimeoutMs,
    },
    ...(secured === undefined ? {} : { credentials: secured.credentials }),
  });
  return {
    transport,
    isDown: () => transport.connectivityState() === connectivityState.TRANSIENT_FAILURE,
    waitUntilReady: (timeoutMs) => transport.waitUntilReady(timeoutMs),
    close: () => transport.close(),
  };
}

const channelOptions: ChannelOptions = {
  "grpc.enable_channelz": 0,
  // Else whoever asks a back-end anew waits for what another channel to it has given up for the moment.
  "grpc.use_local_subchannel_pool": 1,
  // The server limits results itself, and says so in its own words.
  "grpc.max_receive_message_length": -1,
  // All addresses behind a name get calls in turn. A name's own service config must not retry: that is the policy's.
  "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  "grpc.service_config_disable_resolution": 1,
  // grpc-js would wait for up to two minutes before it looks for a server that has come back, at another address too.
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 2000,
  "grpc.dns_min_time_between_resolutions_ms": 5000,
};
