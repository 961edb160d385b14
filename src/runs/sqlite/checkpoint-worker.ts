import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { checkpoint, framesInLog } from "./checkpoint.ts";
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
