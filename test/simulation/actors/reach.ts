import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { msFromDuration } from "../../../src/runs/time.ts";
import type { World } from "../world/world.ts";

export interface ReachOptions<T> {
  /** How long it is tried, in ms. */
  readonly patienceMs: number;
  /** Whether the call may be made again when it is not known what has become of it. Default: true. */
  readonly again?: boolean;
  call(connection: Transport, signal: AbortSignal): Promise<T>;
}

/** What came of trying to reach the server. */
export type Reached<T> =
  | { readonly kind: "answered"; readonly answer: T }
  /** The server has said no. */
  | { readonly kind: "refused"; readonly error: ConnectError }
  /** There was no patience left, or the connection broke off and nothing is done about it. */
  | { readonly kind: "left" };

/** How often somebody calls who is told that it is no use. */
const mostCalls = 6;

/** How long somebody waits before he looks again whether there is a server. */
const againMs = 500;

/** Calls the server, again and again while it is UNAVAILABLE, as long as the patience lasts. */
export async function reach<T>(world: World, options: ReachOptions<T>): Promise<Reached<T>> {
  const { patienceMs, again = true, call } = options;
  const hangUp = new AbortController();
  const timer = world.clock.setTimeout(() => hangUp.abort(), patienceMs);
  try {
    let calls = 0;
    while (!hangUp.signal.aborted) {
      const connection = world.process?.connection;
      if (connection === undefined) {
        await world.pause(againMs);
        continue;
      }
      try {
        return { kind: "answered", answer: await call(connection, hangUp.signal) };
      } catch (thrown) {
        const error = ConnectError.from(thrown);
        if (hangUp.signal.aborted) {
          break;
        }
        if (error.code === Code.PermissionDenied || error.code === Code.Unauthenticated) {
          // Or half of the simulation would stand idle unnoticed.
          world.fail("whoever may call is let in", error);
        }
        if (error.code !== Code.Unavailable) {
          return { kind: "refused", error };
        }
        if (!again || ++calls === mostCalls) {
          break;
        }
        await world.pause(delayOf(error));
      }
    }
    return { kind: "left" };
  } finally {
    timer.cancel();
  }
}

function delayOf(error: ConnectError): number {
  const [retry] = error.findDetails(RetryInfoSchema);
  return retry?.retryDelay === undefined ? againMs : Math.max(1, msFromDuration(retry.retryDelay));
}
