import type { ServiceImpl } from "@connectrpc/connect";
import type { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { MonitoringServiceOptions } from "../monitoring-service.ts";
import type { StatusBoard } from "../status-board.ts";
import { type StatusLimits, statusMessage } from "./status-message.ts";

type StatusMethods = Pick<ServiceImpl<typeof MonitoringService>, "getStatus" | "watchStatus">;

const defaultWorkflows = 100;
const defaultAlerts = 20;

/** How the server is. */
export function statusMethods({ board, engine: { openCalls } }: MonitoringServiceOptions): StatusMethods {
  const limits = ({ maxWorkflows, maxAlerts }: StatusLimits): StatusLimits => ({
    maxWorkflows: maxWorkflows || defaultWorkflows,
    maxAlerts: maxAlerts || defaultAlerts,
  });
  return {
    async getStatus(request) {
      return { status: await statusMessage(board, limits(request)) };
    },

    async *watchStatus(request, context) {
      const call = openCalls.begin(context);
      try {
        for await (const _ of changes(board, call.signal)) {
          yield { status: await statusMessage(board, limits(request)) };
        }
        call.signal.throwIfAborted();
      } finally {
        openCalls.end(call);
      }
    },
  };
}

/** Once at first, then whenever the status has changed; what changes while somebody is busy counts as one. */
async function* changes(board: StatusBoard, signal: AbortSignal): AsyncGenerator<void> {
  let changed = true;
  let wake: (() => void) | undefined;
  const tell = (): void => {
    changed = true;
    wake?.();
  };
  const off = board.onChanged(tell);
  const onAbort = (): void => wake?.();
  signal.addEventListener("abort", onAbort);
  try {
    while (!signal.aborted) {
      if (changed) {
        changed = false;
        yield;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    off();
    signal.removeEventListener("abort", onAbort);
  }
}
