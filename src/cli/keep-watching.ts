import { Code, ConnectError } from "@connectrpc/connect";
import { plainText } from "./display/plain-text.ts";
import { type CliIo, writeLines } from "./io.ts";

const firstDelayMs = 500;
const longestDelayMs = 10_000;

export interface Watcher<T> {
  show(update: T): Promise<void> | void;
  /** The connection is lost, and made anew. */
  lost(why: string): void;
}

/** Shows what a stream tells until it is interrupted, over restarts of the server. */
export async function keepWatching<T>(stream: () => AsyncIterable<T>, watcher: Watcher<T>, io: CliIo): Promise<void> {
  let seen = false;
  let delayMs = firstDelayMs;
  while (!io.signal.aborted) {
    try {
      for await (const update of stream()) {
        seen = true;
        delayMs = firstDelayMs;
        await watcher.show(update);
      }
    } catch (error) {
      if (io.signal.aborted) break;
      // A server that was never there is a mistake; one that goes, comes back.
      if (!seen || !isLost(error)) throw error;
      watcher.lost(plainText(ConnectError.from(error).rawMessage));
    }
    await sleep(delayMs, io);
    delayMs = Math.min(2 * delayMs, longestDelayMs);
  }
}

export function tellLost(why: string, io: CliIo): void {
  writeLines(io.stderr, `retake: the connection is lost, and is made anew: ${why}`);
}

function isLost(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  return code === Code.Unavailable || code === Code.Canceled || code === Code.DeadlineExceeded;
}

function sleep(ms: number, { clock, signal }: CliIo): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = clock.setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
