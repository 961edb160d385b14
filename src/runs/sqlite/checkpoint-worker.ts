import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import type {
  CheckpointCommand,
  CheckpointFailure,
  CheckpointReply,
  CheckpointRequest,
} from "./checkpoint-messages.ts";
import { checkpointFully, configure } from "./open-database.ts";
import { LogLostError, rewriteLog } from "./rewrite-log.ts";
import { describe } from "./sqlite-error.ts";

/** Readers are gone within this, unless another program reads for long. */
const busyTimeoutMs = 50;

const { path, directory } = workerData as { readonly path: string; readonly directory: string };
let open: DatabaseSync | undefined;

parentPort?.on("message", ({ number, command }: CheckpointRequest) => {
  let reply: CheckpointReply;
  try {
    reply = { number, busy: carryOut(command) };
  } catch (error) {
    reply = { number, busy: false, failure: toFailure(error) };
  }
  parentPort?.postMessage(reply);
});

/** Returns whether something else was in the way. */
function carryOut(command: CheckpointCommand): boolean {
  if (command === "close") {
    open?.close();
    open = undefined;
    return false;
  }
  const database = connect();
  switch (command) {
    case "copy":
      return checkpoint(database, "PASSIVE").busy;
    case "startOver": {
      const { busy } = checkpoint(database, "RESTART");
      if (!busy) {
        // The first commit of a new log syncs the log's new header. It is made here, so that the writer need not wait.
        touch(database);
      }
      return busy;
    }
    case "prove":
      rewriteLog(`${path}-wal`, framesInLog(database));
      checkpointFully(database);
      touch(database);
      return false;
  }
}

function connect(): DatabaseSync {
  if (open === undefined) {
    const database = new DatabaseSync(path, { timeout: busyTimeoutMs });
    configure(database, directory);
    open = database;
  }
  return open;
}

function checkpoint(database: DatabaseSync, mode: string): { readonly busy: boolean; readonly frames: number } {
  const result = database.prepare(`PRAGMA wal_checkpoint(${mode})`).get();
  return { busy: result?.["busy"] !== 0, frames: Number(result?.["log"]) };
}

function framesInLog(database: DatabaseSync): number {
  const version = String(database.prepare("SELECT sqlite_version() AS version").get()?.["version"]);
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major < 3 || (major === 3 && minor < 51)) {
    // Older ones take it for PASSIVE, which would move frames that have not been checked.
    throw new LogLostError(`SQLite ${version} does not tell what its log should hold (3.51 does)`);
  }
  return checkpoint(database, "NOOP").frames;
}

function touch(database: DatabaseSync): void {
  database.exec("INSERT INTO meta VALUES ('log', '1') ON CONFLICT DO UPDATE SET value = value + 1");
}

function toFailure(error: unknown): CheckpointFailure {
  const { errcode } = error as { errcode?: unknown };
  return {
    message: describe(error),
    lost: error instanceof LogLostError,
    ...(typeof errcode === "number" ? { errcode } : {}),
  };
}
