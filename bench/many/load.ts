import { setTimeout as sleep } from "node:timers/promises";
import { createCallTemplates } from "../grpc-request.ts";
import { LoadConnection } from "../load-connection.ts";
import { requestOf } from "../requests.ts";

/** Starts so many runs, and no more, with a few in flight. */
export async function startRuns(port: number, count: number, signal: AbortSignal): Promise<void> {
  const { path, message } = requestOf("start-run");
  const connection = await LoadConnection.connect(port, createCallTemplates(path, message));
  try {
    for (let started = 0; started < count; ) {
      signal.throwIfAborted();
      const wave = Math.min(200, count - started);
      connection.start(wave);
      await connection.stop();
      started += wave;
    }
  } finally {
    connection.close();
  }
}

/** Looks again and again, until it is so. @throws Error that names what did not come in time */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  signal: AbortSignal,
  longestMs = 120_000,
): Promise<void> {
  const startMs = performance.now();
  while (!(await isSo())) {
    if (performance.now() - startMs > longestMs) {
      throw new Error(`${what} did not come within ${longestMs / 1000} s`);
    }
    await sleep(5, undefined, { signal });
  }
}
