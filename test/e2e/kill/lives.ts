import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import type { RandomSource } from "../../../src/clock.ts";
import { type Connection, connect } from "../connection.ts";
import type { ServerProcess, ServerSite } from "../server-process.ts";

/** A process that listens, until it is killed. */
interface Life {
  readonly connection: Connection;
  readonly over: Promise<void>;
}

/** How long a server that nobody has killed may go on being UNAVAILABLE before that is what it says. */
const patienceMs = 60_000;

/**
 * A kill comes at most so much work after a start, as clients see it: a clock that goes as fast as the machine does, so
 * that slow ones have something to interrupt too.
 */
const mostSigns = 300;

/** A server that dies and comes back, on the same ports and directory. */
export class Lives implements AsyncDisposable {
  readonly #site: ServerSite;
  readonly #random: RandomSource;
  #process: ServerProcess | undefined;
  #life = Promise.withResolvers<Life>();
  #over = Promise.withResolvers<void>();
  /** What clients have been told since the server listens, and how much of that the next kill waits for. */
  #signs = 0;
  #enough = Promise.withResolvers<void>();
  #enoughSigns = 0;
  /** How long the last start took: what a kill during a start aims at. */
  #startMs = 500;

  /** How often it was killed before it listened, and while it served. */
  readonly kills = { starting: 0, serving: 0 };

  constructor(site: ServerSite, random: RandomSource) {
    this.#site = site;
    this.#random = random;
  }

  /** Lives through so many kills at random moments, and comes back for good. */
  async endure(kills: number): Promise<void> {
    for (let kill = 0; kill < kills; kill++) {
      // The first one finds something to interrupt.
      if (kill > 0 && this.#random.next() < 0.15) {
        await this.#dieStarting();
      } else {
        this.#enoughSigns = Math.floor(this.#random.next() * mostSigns);
        await this.#start();
        await this.#enough.promise;
        await sleep(this.#random.next() * 50);
        await this.#die();
      }
    }
    await this.#start();
  }

  /** Calls back while the server lives, again after each time it has died meanwhile. */
  async persist<T>(call: (connection: Connection) => Promise<T>): Promise<T> {
    for (;;) {
      const { connection, over } = await this.#life.promise;
      try {
        return await call(connection);
      } catch (error) {
        if (!isGone(error)) {
          throw error;
        }
        await this.#untilOver(over, error);
      }
    }
  }

  /** Calls back once. Undefined when the server has died meanwhile, and nobody knows what it has done. */
  async tryOnce<T>(call: (connection: Connection) => Promise<T>): Promise<T | undefined> {
    const { connection, over } = await this.#life.promise;
    try {
      return await call(connection);
    } catch (error) {
      if (!isGone(error)) {
        throw error;
      }
      await this.#untilOver(over, error);
      return undefined;
    }
  }

  /** A client was told something: an answer, an event, an update. */
  told(): void {
    this.#signs += 1;
    if (this.#signs >= this.#enoughSigns) {
      this.#enough.resolve();
    }
  }

  /** Stops the last process in good order. */
  async stop() {
    return this.#process?.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.kill();
  }

  async #start(): Promise<void> {
    const began = performance.now();
    this.#process = this.#site.launch();
    await this.#process.ready;
    this.#startMs = performance.now() - began;
    this.#signs = 0;
    this.#enough = Promise.withResolvers();
    if (this.#enoughSigns === 0) {
      this.#enough.resolve();
    }
    this.#over = Promise.withResolvers();
    this.#life.resolve({ connection: connect(this.#site.grpcPort), over: this.#over.promise });
  }

  async #die(): Promise<void> {
    const { connection } = await this.#life.promise;
    this.#life = Promise.withResolvers();
    await this.#process?.kill();
    this.kills.serving += 1;
    connection[Symbol.dispose]();
    this.#over.resolve();
  }

  async #dieStarting(): Promise<void> {
    this.#process = this.#site.launch();
    await sleep(this.#random.next() * this.#startMs * 1.2);
    await this.#process.kill();
    this.kills.starting += 1;
  }

  async #untilOver(over: Promise<void>, error: unknown): Promise<void> {
    const patience = new AbortController();
    const tooLong = sleep(patienceMs, undefined, { signal: patience.signal }).then(() => {
      throw new Error("the server lives, and answers UNAVAILABLE all the same", { cause: error });
    });
    tooLong.catch(() => undefined);
    try {
      await Promise.race([over, tooLong]);
    } finally {
      patience.abort();
    }
  }
}

/** What callers see of a server that has been killed, and nothing else. */
function isGone(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.Unavailable;
}
