import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import type { Clock, Timer } from "../clock.ts";
import { connectionCause } from "./connection-cause.ts";

/** Whether a back-end takes attempts. Until the first probe has been answered nobody knows. */
export type EndpointHealth =
  | { readonly kind: "unknown" }
  | { readonly kind: "healthy" }
  | { readonly kind: "unhealthy"; readonly why: string };

export interface HealthProbeOptions {
  readonly transport: Transport;
  /** Whether there is no connection, so that every call fails at once until there is one again. */
  isDown(): boolean;
  /** What `grpc.health.v1` is asked for; empty for the server as a whole. */
  readonly service: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Called whenever the kind of health changes. */
  onChange(health: EndpointHealth, before: EndpointHealth): void;
}

/** Those that wait for it should not wait much longer than it was away. */
const unhealthyIntervalMs = 1000;

/**
 * Behind one name there may be several servers, which get calls in turn: the endpoint is as healthy as the best of those
 * that one probe asks.
 */
const asksPerProbe = 3;

const gone: EndpointHealth = { kind: "unhealthy", why: "it is no endpoint any more" };

/** Probes one endpoint by `grpc.health.v1`, now and then and whenever there is a reason to. */
export class HealthProbe {
  readonly #options: HealthProbeOptions;
  readonly #stopped = new AbortController();
  #health: EndpointHealth = { kind: "unknown" };
  #timer: Timer | undefined;
  #probing = false;
  #again = false;
  /** Who waits for the answer to the next probe. */
  #waiting: ((health: EndpointHealth) => void)[] = [];

  constructor(options: HealthProbeOptions) {
    this.#options = options;
  }

  get health(): EndpointHealth {
    return this.#health;
  }

  /** Probes at once, and goes on until `stop`. While a probe is under way, another one follows it. */
  probe(): void {
    if (this.#stopped.signal.aborted) {
      return;
    }
    if (this.#probing) {
      this.#again = true;
      return;
    }
    this.#timer?.cancel();
    this.#probing = true;
    void this.#probeOnce();
  }

  /** What a probe tells that begins now, or after the one that is under way. */
  check(): Promise<EndpointHealth> {
    if (this.#stopped.signal.aborted) {
      return Promise.resolve(gone);
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.probe();
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#stopped.abort(new ConnectError("the endpoint is probed no more", Code.Canceled));
    this.#tell(this.#waiting, gone);
  }

  #tell(waiting: readonly ((health: EndpointHealth) => void)[], health: EndpointHealth): void {
    for (const tell of waiting) {
      tell(health);
    }
  }

  async #probeOnce(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    const health = await this.#ask();
    this.#probing = false;
    if (this.#stopped.signal.aborted) {
      this.#tell(waiting, gone);
      return;
    }
    const before = this.#health;
    this.#health = health;
    if (before.kind !== health.kind) {
      this.#options.onChange(health, before);
    }
    this.#tell(waiting, health);
    const { clock, intervalMs } = this.#options;
    const delayMs = health.kind === "healthy" ? intervalMs : Math.min(intervalMs, unhealthyIntervalMs);
    this.#timer = clock.setTimeout(() => this.probe(), this.#again ? 0 : delayMs);
    this.#again = false;
  }

  async #ask(): Promise<EndpointHealth> {
    const { transport, isDown, service, timeoutMs, clock } = this.#options;
    const client = createClient(Health, transport);
    const untilMs = clock.monotonic() + timeoutMs;
    let why = "";
    for (let asks = 0; asks < asksPerProbe; asks++) {
      const leftMs = untilMs - clock.monotonic();
      if (leftMs <= 0) {
        break;
      }
      try {
        const { status } = await client.check({ service }, { timeoutMs: leftMs, signal: this.#stopped.signal });
        if (status === ServingStatus.SERVING) {
          return { kind: "healthy" };
        }
        why = `it says ${ServingStatus[status] ?? status}`;
      } catch (error) {
        const { code, rawMessage } = ConnectError.from(error);
        if (isReachable(code, service)) {
          return { kind: "healthy" };
        }
        why =
          code === Code.DeadlineExceeded ? `it has not answered within ${timeoutMs} ms` : connectionCause(rawMessage);
        if (isDown()) {
          break;
        }
      }
    }
    return { kind: "unhealthy", why };
  }
}

/** Whether an error comes from a server that works, but has nothing to say about its health, or not to us. */
function isReachable(code: Code, service: string): boolean {
  switch (code) {
    case Code.Unimplemented:
    case Code.Unauthenticated:
    case Code.PermissionDenied:
      return true;
    case Code.NotFound:
      return service === "";
    default:
      return false;
  }
}
