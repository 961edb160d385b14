import type { Transport } from "@connectrpc/connect";
import type { ChannelOptions } from "@grpc/grpc-js";
import type { Clock } from "../clock.ts";
import { inProcessTarget, type ResolvedEndpoint } from "../config/index.ts";
import type { EndpointSlots, Logger } from "../runs/index.ts";
import { createGrpcTransport, type TlsOptions, tlsChannel } from "../transport/index.ts";
import type { Backend } from "./backend.ts";
import { HealthProbe, type HealthProbeOptions } from "./health-probe.ts";
import { createRemoteBackend } from "./remote.ts";

/** An endpoint with its certificates at hand. */
export interface EndpointSettings extends Omit<ResolvedEndpoint, "tls"> {
  readonly tls?: TlsOptions;
}

/** Where the attempts of each service can be made. */
export type ServiceEndpoints = ReadonlyMap<string, readonly EndpointSettings[]>;

export interface EndpointsOptions {
  /** Carries out what no back-end is named for. */
  readonly inProcess: Backend;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called when an endpoint gets its slots back, or loses them. */
  onSlots(slots: EndpointSlots): void;
}

const inProcessSlots: readonly EndpointSlots[] = [
  slotsOf({ target: inProcessTarget, slots: Number.POSITIVE_INFINITY }),
];

/**
 * The endpoints of all back-ends: one connection each, whatever names it, and its health. What an attempt asks of it is
 * a look-up; probes change what is looked up.
 */
export class Endpoints {
  readonly #options: EndpointsOptions;
  readonly #connections = new Map<string, Connection>();
  #services: ServiceEndpoints = new Map();
  readonly #slots = new Map<string, readonly EndpointSlots[]>();

  constructor(options: EndpointsOptions) {
    this.#options = options;
  }

  /**
   * From now on these are the endpoints. Those that are new are connected and probed; attempts at others go on to their
   * end.
   */
  configure(services: ServiceEndpoints): void {
    const settings = new Map([...services.values()].flat().map((endpoint) => [endpoint.target, endpoint] as const));
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
  }

  /** Of one service, as they are right now. */
  of(service: string): readonly EndpointSlots[] {
    return this.#slots.get(service) ?? this.#read(service);
  }

  backend(target: string): Backend | undefined {
    return target === inProcessTarget ? this.#options.inProcess : this.#connections.get(target)?.backend;
  }

  close(): void {
    for (const connection of this.#connections.values()) {
      connection.close();
    }
  }

  #read(service: string): readonly EndpointSlots[] {
    const endpoints = this.#services.get(service);
    const slots = endpoints?.map((endpoint) => slotsOf(endpoint, this.#connections.get(endpoint.target)));
    this.#slots.set(service, slots ?? inProcessSlots);
    return slots ?? inProcessSlots;
  }

  #connect(endpoint: EndpointSettings): Connection {
    const { clock, log, onSlots } = this.#options;
    const { target } = endpoint;
    return new Connection(endpoint, clock, (health, before) => {
      if (health.kind === "unhealthy") {
        log.warn(
          { endpoint: target, why: health.why },
          "an endpoint is not healthy: it gets no attempts until it is back",
        );
      } else if (before.kind === "unhealthy") {
        log.info({ endpoint: target }, "an endpoint is healthy again");
      }
      this.#slots.clear();
      const connection = this.#connections.get(target);
      if (connection !== undefined) {
        onSlots(slotsOf(connection.settings, connection));
      }
    });
  }
}

/** A remote endpoint: its channel, and its probe. */
class Connection {
  /** Their slots may change. */
  settings: EndpointSettings;
  readonly backend: Backend;
  readonly #probe: HealthProbe | undefined;
  readonly #close: () => void;

  constructor(settings: EndpointSettings, clock: Clock, onHealth: HealthProbeOptions["onChange"]) {
    this.settings = settings;
    const { target, healthCheck } = settings;
    const { transport, close } = connectEndpoint(settings);
    this.#close = close;
    this.#probe =
      healthCheck === undefined ? undefined : new HealthProbe({ ...healthCheck, transport, clock, onChange: onHealth });
    this.backend = createRemoteBackend(transport, target, { onUnavailable: () => this.#probe?.probe() });
    this.#probe?.probe();
  }

  get unhealthy(): boolean {
    return this.#probe?.health.kind === "unhealthy";
  }

  get healthy(): boolean {
    return this.#probe === undefined || this.#probe.health.kind === "healthy";
  }

  /** Whether it is what these settings ask for, but for the slots. */
  serves(settings: EndpointSettings): boolean {
    const unslotted = (of: EndpointSettings): string => JSON.stringify({ ...of, slots: 0 });
    return unslotted(settings) === unslotted(this.settings);
  }

  close(): void {
    this.#probe?.stop();
    this.#close();
  }
}

function slotsOf(endpoint: Pick<EndpointSettings, "target" | "slots">, connection?: Connection): EndpointSlots {
  const { target, slots } = endpoint;
  return {
    endpoint: target,
    key: `endpoint/${target}`,
    slots: connection?.healthy === false ? 0 : slots,
    ...(connection?.unhealthy === true ? { unhealthy: true } : {}),
  };
}

/** A channel to a back-end. Calls that are under way when it is closed go on. @throws TypeError for TLS that cannot work */
export function connectEndpoint(settings: Omit<EndpointSettings, "slots">): {
  readonly transport: Transport;
  close(): void;
} {
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
  return { transport, close: () => transport.close() };
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
