import type { Socket } from "node:net";
import type { Clock } from "../clock.ts";
import type { Proxies } from "./proxies.ts";

/** What one source, an address that connections come from, may do. What is left out is unlimited. */
export interface SourceLimits {
  /** Connections at once. */
  readonly maxConnections: number;
  /** Calls that it may reset in a second, over all its connections, on average; 20 times as many at once. */
  readonly resetsPerSecond?: number;
  /** PING and SETTINGS frames in a second, likewise. */
  readonly controlFramesPerSecond?: number;
  /** Bytes of answers that it may leave unread, and of requests that it is sending, over all its connections. */
  readonly maxUnsentBytes?: number;
  /** The same of all sources together. */
  readonly maxUnsentBytesInAll?: number;
  /** How long a source that went too far gets no new connections. */
  readonly penaltyMs?: number;
}

/** A source's patience is used up by so many seconds' worth at once. */
const burstSeconds = 20;

const plenty = Number.MAX_SAFE_INTEGER;

/** Sources that are remembered without a connection. More come only from many addresses at once. */
const mostIdle = 10_000;

/** One source, as long as it has connections or there is something to remember of it. */
export class Source {
  connections = 0;
  readonly resets: Allowance;
  readonly controlFrames: Allowance;
  readonly #clock: Clock;
  readonly #penaltyMs: number;
  readonly #maxHeldBytes: number;
  readonly #all: HeldBytes;
  #heldBytes = 0;
  #isFull = false;
  #refusedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(limits: SourceLimits, all: HeldBytes, clock: Clock) {
    this.#clock = clock;
    this.#all = all;
    this.#penaltyMs = limits.penaltyMs ?? 0;
    this.#maxHeldBytes = limits.maxUnsentBytes ?? Number.POSITIVE_INFINITY;
    this.resets = new Allowance(limits.resetsPerSecond ?? plenty, clock);
    this.controlFrames = new Allowance(limits.controlFramesPerSecond ?? plenty, clock);
  }

  /** Counts bytes that it has to read, or to send the rest of; false when it has too many already. */
  hold(bytes: number): boolean {
    if (this.#heldBytes + bytes > this.#maxHeldBytes) {
      this.#isFull = this.#heldBytes > this.#maxHeldBytes / 2;
      return false;
    }
    if (this.#all.bytes + bytes > this.#all.maxBytes) {
      return false;
    }
    this.#all.bytes += bytes;
    this.#heldBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#all.bytes -= bytes;
    this.#heldBytes -= bytes;
    this.#isFull &&= this.#heldBytes > this.#maxHeldBytes / 2;
  }

  /** Whether it has had more than it may, and has not yet got rid of half of that. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** It went too far: it gets no new connections for a while. */
  punish(): void {
    this.#refusedUntilMs = this.#clock.monotonic() + this.#penaltyMs;
  }

  get refused(): boolean {
    return this.#clock.monotonic() < this.#refusedUntilMs;
  }

  /** Whether a new one would be the same. */
  get forgettable(): boolean {
    return this.idle && !this.refused && this.resets.full && this.controlFrames.full;
  }

  /** Nothing of it is open. */
  get idle(): boolean {
    return this.connections === 0 && this.#heldBytes === 0;
  }
}

/** What all sources together make the server hold. */
interface HeldBytes {
  bytes: number;
  readonly maxBytes: number;
}

/** So many a second, and no more than a burst of them at once. */
class Allowance {
  readonly #perMs: number;
  readonly #most: number;
  readonly #clock: Clock;
  #left: number;
  #atMs: number;

  constructor(perSecond: number, clock: Clock) {
    this.#perMs = perSecond / 1000;
    this.#most = perSecond * burstSeconds;
    this.#clock = clock;
    this.#left = this.#most;
    this.#atMs = clock.monotonic();
  }

  /** Takes one, or a part of it; false when there is none left. */
  take(part = 1): boolean {
    this.#refill();
    if (this.#left < part) {
      return false;
    }
    this.#left -= part;
    return true;
  }

  get full(): boolean {
    this.#refill();
    return this.#left === this.#most;
  }

  #refill(): void {
    const nowMs = this.#clock.monotonic();
    this.#left = Math.min(this.#most, this.#left + (nowMs - this.#atMs) * this.#perMs);
    this.#atMs = nowMs;
  }
}

/** Knows where the connections of a port come from. */
export class Sources {
  readonly #limits: SourceLimits;
  readonly #held: HeldBytes;
  readonly #clock: Clock;
  readonly #proxies: Pick<Proxies, "isTrusted"> | undefined;
  /** All trusted proxies: each carries many clients, and has no limits but those of all together. */
  readonly #proxy: Source;
  readonly #sources = new Map<string, Source>();
  /** Sources made and connections closed, since the last tidying. */
  #changes = 0;

  constructor(limits: SourceLimits, clock: Clock, proxies?: Pick<Proxies, "isTrusted">) {
    this.#limits = limits;
    this.#held = { bytes: 0, maxBytes: limits.maxUnsentBytesInAll ?? Number.POSITIVE_INFINITY };
    this.#clock = clock;
    this.#proxies = proxies;
    this.#proxy = new Source({ maxConnections: plenty }, this.#held, clock);
  }

  /** How many are remembered. */
  get size(): number {
    return this.#sources.size;
  }

  /** Counts a connection until it closes. Undefined, and nothing counted, when its source may have none. */
  admit(socket: Socket): Source | undefined {
    const source = this.of(socket.remoteAddress);
    if (source === this.#proxy) {
      return source;
    }
    if (source.refused || source.connections >= this.#limits.maxConnections) {
      return undefined;
    }
    source.connections += 1;
    socket.once("close", () => {
      source.connections -= 1;
      this.#tidy();
    });
    return source;
  }

  /** The source behind an address. */
  of(address: string | undefined): Source {
    if (this.#proxies?.isTrusted(address) === true) {
      return this.#proxy;
    }
    const name = sourceOf(address);
    let source = this.#sources.get(name);
    if (source === undefined) {
      this.#tidy();
      source = new Source(this.#limits, this.#held, this.#clock);
      this.#sources.set(name, source);
    }
    return source;
  }

  /** Drops those of whom there is nothing to remember: all of them now and then, at a cost in proportion. */
  #tidy(): void {
    this.#changes += 1;
    // Half: each new one makes the number grow by itself.
    if (this.#changes * 2 <= this.#sources.size) {
      return;
    }
    this.#changes = 0;
    const crowded = this.#sources.size > mostIdle;
    for (const [name, source] of this.#sources) {
      if (source.forgettable || (crowded && source.idle)) this.#sources.delete(name);
    }
  }
}

/** An IPv4 address, or the network of an IPv6 one: whoever has one of its addresses has all of them. */
export function sourceOf(address: string | undefined): string {
  if (address === undefined || !address.includes(":")) {
    return address ?? "";
  }
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) {
    return mapped;
  }
  const [head = "", tail] = address.replace(/%.*$/, "").split("::", 2);
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => "0");
  return `${[...before, ...zeros, ...after].slice(0, 4).join(":")}::/64`;
}
