import { Code } from "@connectrpc/connect";
import type { OutliersPlan } from "../plan/plan.ts";
import type { HealthAnswer, Reply } from "../world/witness.ts";
import type { World } from "../world/world.ts";

/** A probe asks that often before it takes an endpoint for unhealthy. */
const asks = 3;
/** A timer is late by less. */
const latenessMs = 5;

/** What speaks against an endpoint, and not against what it was asked for. */
const telling: ReadonlySet<Code | undefined> = new Set([
  Code.Unknown,
  Code.ResourceExhausted,
  Code.Unimplemented,
  Code.Internal,
  Code.Unavailable,
]);

interface Endpoint {
  readonly target: string;
  healthy: boolean;
  noes: number;
  failuresInRow: number;
  /** When it is taken back; undefined while it is not out for failing. */
  ejectedUntilMs: number | undefined;
  ejections: number;
  backSinceMs: number;
  /** Since when it takes attempts, or does not. */
  sinceMs: number;
}

/**
 * The endpoints elsewhere, as what they answer tells: whether they are healthy, and whether they were taken out for failing
 * where others do well, by the rules of gRFC A50 for failures in a row.
 */
export class EndpointStates {
  readonly #world: World;
  readonly #outliers: OutliersPlan | undefined;
  readonly #besideOwn: boolean;
  #endpoints = new Map<string, Endpoint>();
  /** False where it is open which of two things came first. */
  #isSure = true;

  constructor(world: World) {
    const { remotes } = world.plan.server;
    this.#world = world;
    this.#outliers = remotes?.outliers;
    this.#besideOwn = remotes?.besideOwn !== false;
  }

  /** There is another server, which knows nothing of them. */
  starting(): void {
    const nowMs = this.#world.clock.monotonic();
    this.#isSure = true;
    this.#endpoints = new Map(
      (this.#world.plan.server.remotes?.endpoints ?? []).map(({ target }) => [
        target,
        {
          target,
          healthy: false,
          noes: 0,
          failuresInRow: 0,
          ejectedUntilMs: undefined,
          ejections: 0,
          backSinceMs: 0,
          sinceMs: nowMs,
        },
      ]),
    );
  }

  checked(target: string, answer: HealthAnswer): void {
    const endpoint = this.#of(target);
    endpoint.noes = answer === "no" ? endpoint.noes + 1 : 0;
    if (answer !== "no" || endpoint.noes === asks) {
      endpoint.noes = 0;
      this.#change(endpoint, () => {
        endpoint.healthy = answer === "serving";
      });
      if (this.#all.every((each) => !isIn(each)) && !this.#besideOwn) {
        for (const each of this.#all.filter(({ healthy }) => healthy)) {
          this.#takeBack(each, this.#world.clock.monotonic());
        }
      }
    }
  }

  replied(target: string, { code, isAborted }: Reply): void {
    const endpoint = this.#of(target);
    const nowMs = this.#world.clock.monotonic();
    if (code === undefined) {
      endpoint.failuresInRow = 0;
      return;
    }
    if (isAborted ? code !== Code.Unavailable : !telling.has(code)) {
      return;
    }
    if (nowMs - endpoint.backSinceMs < latenessMs) {
      this.#isSure = false;
    }
    endpoint.failuresInRow += 1;
    if (this.#outliers !== undefined && this.#isOutlier(endpoint, this.#outliers)) {
      const { baseEjectionMs, maxEjectionMs } = this.#outliers;
      const livedDown = Math.floor((nowMs - endpoint.backSinceMs) / baseEjectionMs);
      endpoint.ejections = Math.max(0, endpoint.ejections - livedDown) + 1;
      const forMs = Math.min(baseEjectionMs * endpoint.ejections, Math.max(baseEjectionMs, maxEjectionMs));
      this.#change(endpoint, () => {
        endpoint.ejectedUntilMs = nowMs + forMs;
      });
    }
  }

  /** Since when an endpoint takes no attempts; undefined if it does, or that is open. */
  outSince(target: string): number | undefined {
    const endpoint = this.#of(target);
    const isKnown = !endpoint.healthy || this.#isSure;
    return isIn(endpoint) || !isKnown ? undefined : endpoint.sinceMs;
  }

  /** Since when an endpoint takes attempts; undefined if it does not, or that is open. */
  inSince(target: string): number | undefined {
    const endpoint = this.#of(target);
    return isIn(endpoint) && this.#isSure ? endpoint.sinceMs : undefined;
  }

  get #all(): readonly Endpoint[] {
    return [...this.#endpoints.values()];
  }

  /** As it is now: its time may be over. */
  #of(target: string): Endpoint {
    const nowMs = this.#world.clock.monotonic();
    for (const each of this.#endpoints.values()) {
      if (each.ejectedUntilMs !== undefined && each.ejectedUntilMs <= nowMs) {
        each.failuresInRow = 0;
        this.#takeBack(each, each.ejectedUntilMs);
      }
    }
    const endpoint = this.#endpoints.get(target);
    if (endpoint === undefined) {
      throw new Error(`${target} is no endpoint of the plan`);
    }
    return endpoint;
  }

  #isOutlier(endpoint: Endpoint, { consecutiveFailures, maxEjectionPercent }: OutliersPlan): boolean {
    const others = this.#all.filter((other) => other !== endpoint);
    const out = this.#all.filter(({ ejectedUntilMs }) => ejectedUntilMs !== undefined).length;
    const count = this.#all.length + (this.#besideOwn ? 1 : 0);
    const most = Math.max(1, Math.floor((count * maxEjectionPercent) / 100));
    return (
      endpoint.ejectedUntilMs === undefined &&
      endpoint.failuresInRow >= consecutiveFailures &&
      out < most &&
      (this.#besideOwn || others.some((other) => isIn(other) && other.failuresInRow === 0))
    );
  }

  #takeBack(endpoint: Endpoint, atMs: number): void {
    if (endpoint.ejectedUntilMs !== undefined) {
      this.#change(endpoint, () => {
        endpoint.ejectedUntilMs = undefined;
      });
      endpoint.backSinceMs = atMs;
    }
  }

  #change(endpoint: Endpoint, change: () => void): void {
    const before = isIn(endpoint);
    change();
    if (isIn(endpoint) !== before) {
      endpoint.sinceMs = this.#world.clock.monotonic();
    }
  }
}

function isIn({ healthy, ejectedUntilMs }: Endpoint): boolean {
  return healthy && ejectedUntilMs === undefined;
}
