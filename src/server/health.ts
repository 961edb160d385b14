import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { type Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";

export { ServingStatus };

/** The name under which `grpc.health.v1` keeps the state of the server as a whole. */
export const overallHealth = "";

/** The health of the server and of each of its services, as `grpc.health.v1` tells it. */
export interface HealthReporter {
  /** The implementation of `grpc.health.v1.Health`. */
  readonly service: ServiceImpl<typeof Health>;
  /** Sets the state of a service, or of the server as a whole (`overallHealth`). Does nothing after `shutdown`. */
  set(service: string, status: ServingStatus): void;
  /** Forgets a service that is gone: its watchers see SERVICE_UNKNOWN. */
  remove(service: string): void;
  /** Everything is NOT_SERVING from now on, whatever is still set. Watchers are told and stay connected. */
  shutdown(): void;
}

/** Starts out with the server as a whole NOT_SERVING: it serves once somebody says so. */
export function createHealth(): HealthReporter {
  const statuses = new Map<string, ServingStatus>([[overallHealth, ServingStatus.NOT_SERVING]]);
  const waiting = new Set<() => void>();
  let down = false;

  const changed = (): void => {
    for (const wake of [...waiting]) wake();
  };

  const nextChange = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const wake = (): void => {
        waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      waiting.add(wake);
      signal.addEventListener("abort", wake);
    });

  return {
    service: {
      check({ service }) {
        const status = statuses.get(service);
        if (status !== undefined) return { status };
        throw new ConnectError(`this server has no service "${service}"`, Code.NotFound);
      },
      list() {
        return { statuses: Object.fromEntries([...statuses].map(([service, status]) => [service, { status }])) };
      },
      async *watch({ service }, { signal }) {
        let sent: ServingStatus | undefined;
        while (!signal.aborted) {
          const status = statuses.get(service) ?? ServingStatus.SERVICE_UNKNOWN;
          if (status === sent) {
            await nextChange(signal);
          } else {
            sent = status;
            yield { status };
          }
        }
      },
    },
    set(service, status) {
      if (down) return;
      statuses.set(service, status);
      changed();
    },
    remove(service) {
      if (statuses.delete(service)) changed();
    },
    shutdown() {
      down = true;
      for (const service of statuses.keys()) statuses.set(service, ServingStatus.NOT_SERVING);
      changed();
    },
  };
}
