import { fdatasyncSync } from "node:fs";
import { type MessagePort, parentPort } from "node:worker_threads";
import { systemClock } from "../../../clock.ts";
import { openSqliteStorage } from "../open-storage.ts";
import { toFailure } from "./failures.ts";
import { hostStorage } from "./host.ts";
import type { StorageReply } from "./messages.ts";

/** What the thread is told first: it opens nothing before. */
export interface StorageThreadData {
  readonly directory: string;
  /** The URL of a module whose `sync(file)` takes the place of `fdatasync`; for tests and measurements. */
  readonly syncModule: string | undefined;
}

/** Syncs on this thread, which has nothing else to do: what comes in meanwhile shares the next commit. */
async function syncHere(file: number): Promise<void> {
  fdatasyncSync(file);
}

async function open(port: MessagePort, { directory, syncModule }: StorageThreadData): Promise<void> {
  const sync = syncModule === undefined ? syncHere : (await import(syncModule)).sync;
  const storage = openSqliteStorage({ directory, clock: systemClock, sync });
  hostStorage(storage, {
    post: (message, transfer = []) => port.postMessage(message, [...transfer]),
    onMessage: (listener) => port.on("message", listener),
  });
  port.postMessage({ kind: "opened" } satisfies StorageReply);
}

if (parentPort !== null) {
  const port = parentPort;
  port.once("message", (data: StorageThreadData) => {
    open(port, data).catch((error: unknown) => {
      port.postMessage({ kind: "refused", failure: toFailure(error) } satisfies StorageReply);
    });
  });
}
