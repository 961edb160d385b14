import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import type { Clock } from "../../../src/clock.ts";
import type { Logger } from "../../../src/runs/index.ts";
import { createServer, type RetakeServer, type Storage } from "../../../src/server/index.ts";
import { createSeededRandom } from "../../../src/testing/seeded-random.ts";
import { SimulatedService } from "../../gen/retake/test/simulation/v1/simulated_pb.js";
import { connectTo } from "./connection.ts";
import { createHandlers, createJobs, type Sights } from "./handlers.ts";
import { configOf } from "./policy-config.ts";
import { authenticator } from "./principals.ts";
import type { Life } from "./seeded-clock.ts";
import type { World } from "./world.ts";

/** One life of the server, from its start to its end by a crash or a drain. */
export class ServerProcess implements Life {
  /** 1, 2, 3, … */
  readonly number: number;
  readonly clock: Clock;
  readonly #world: World;
  readonly #server: RetakeServer;
  readonly #died = Promise.withResolvers<never>();
  #isAlive = true;
  #connection: Transport | undefined;

  constructor(world: World, number: number, openStorage: (process: ServerProcess) => Storage) {
    this.number = number;
    this.#world = world;
    this.clock = world.time.of(this);
    this.#died.promise.catch(() => undefined);
    const sights: Sights = new Map();
    this.#server = createServer(configOf(world.plan), {
      clock: this.clock,
      random: createSeededRandom(world.plan.seed * 1_000 + number),
      log: this.#logger(),
      env: {},
      authenticators: [authenticator],
      connectEndpoint: (settings) => world.remotes.connect(this, settings.target, sights),
      openStorage: () => openStorage(this),
      crash: () => world.crash(this),
    }).implement(SimulatedService, createHandlers(world, this, sights), createJobs(world, this, sights));
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** How to call it; undefined while it cannot be. */
  get connection(): Transport | undefined {
    return this.#isAlive ? this.#connection : undefined;
  }

  async start(): Promise<void> {
    await this.#server.listen();
    this.#connection = connectTo(this.#server.transport, this.#died.promise);
  }

  /** Stops it as an orchestrator does, unless it is killed meanwhile. */
  async drain(drainTimeoutMs: number): Promise<void> {
    const killed = this.#died.promise.catch(() => undefined);
    await Promise.race([this.#server.close({ drainTimeoutMs }), killed]);
    this.kill();
  }

  /** From here on it does nothing, and nobody hears from it. */
  kill(): void {
    this.#isAlive = false;
    this.#died.reject(new ConnectError("the connection is gone", Code.Unavailable));
  }

  #logger(): Logger {
    const ignore = (): void => undefined;
    return {
      debug: ignore,
      info: ignore,
      warn: ignore,
      error: (fields, message) => {
        if (this.#isAlive) {
          this.#world.tell("logged", fields, message);
        }
      },
    };
  }
}
