import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import type { RandomSource } from "../clock.ts";
import { silentLogger } from "../runs/index.ts";
import { createMemoryStorage } from "../runs/memory/index.ts";
import { createServer, type RetakeServer, type ServerOptions, type Storage } from "../server/index.ts";
import { createSeededRandom } from "./seeded-random.ts";
import { createVirtualClock, type VirtualClock } from "./virtual-clock.ts";

export interface TestServerOptions extends Omit<ServerOptions, "clock" | "random"> {
  /**
   * Default: everything has its default, but there are no ports and no monitoring: call the server by its `transport`.
   */
  readonly config?: MessageInitShape<typeof ServerConfigSchema>;
  /** Default: a new one. */
  readonly clock?: VirtualClock;
  /** Default: seed 1. */
  readonly random?: RandomSource;
  /** Default: a new one in memory. Pass on the storage of a server that was closed to play a restart. */
  readonly storage?: Storage;
}

export interface TestServer {
  readonly server: RetakeServer;
  readonly clock: VirtualClock;
  readonly storage: Storage;
}

/**
 * A server in this process, on a virtual clock and a seeded random source, that keeps its runs in memory: implement
 * contracts, `listen`, and call it by its `transport`. Time passes when the test says so.
 */
export function createTestServer(options: TestServerOptions = {}): TestServer {
  const clock = options.clock ?? createVirtualClock();
  const storage = options.storage ?? createMemoryStorage({ clock });
  const server = createServer(
    // No ports and no samples of metrics each ten seconds, unless the test wants some.
    {
      ...{ grpc: { disabled: true }, web: { disabled: true }, monitoring: { disabled: true } },
      ...(options.config as object),
    },
    {
      clock,
      random: options.random ?? createSeededRandom(1),
      log: options.log ?? silentLogger,
      ...(options.env && { env: options.env }),
      ...(options.authenticators && { authenticators: options.authenticators }),
      ...(options.crash && { crash: options.crash }),
      ...(options.process && { process: options.process }),
      ...(options.load && { load: options.load }),
      // Closing the server leaves the storage open, so that the next one can go on with it.
      openStorage: options.openStorage ?? (() => ({ ...storage, close: () => storage.journal.flush() })),
    },
  );
  return { server, clock, storage };
}
