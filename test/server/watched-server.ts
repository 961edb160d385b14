import { type Client, createClient } from "@connectrpc/connect";
import { MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import { type Options, plain, type Studio, start as startStudio } from "./breaker-studio.ts";

export interface WatchedServer extends Studio {
  readonly client: Client<typeof MonitoringService>;
  /** Lets time pass up to the next samples, and all that follows from them happen. */
  sample(times?: number): Promise<void>;
}

/** A server on virtual time whose metrics are kept, with a breaker for one workflow. */
export async function startWatched({
  config: own,
  ...options
}: Omit<Options, "config"> & { config?: object } = {}): Promise<WatchedServer> {
  const workflows = { [plain]: { circuitBreaker: { volumeThreshold: 3 } } };
  const studio = await startStudio({ ...options, config: { monitoring: {}, workflows, ...own } });
  const client = createClient(MonitoringService, studio.server.transport);
  const { clock } = studio;
  // Monitoring begins once the server listens.
  for (const begun = client.listAlertRules({}); ; ) {
    if (await Promise.race([begun.then(() => true), clock.advance(1).then(() => false)])) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return {
    ...studio,
    client,
    async sample(times = 1) {
      for (let i = 0; i < times; i++) {
        await clock.advance(10_000 - (clock.now() % 10_000));
        // What is stored, and the messages of streams, take turns of the event loop.
        for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}
