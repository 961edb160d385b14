import { parentPort, workerData } from "node:worker_threads";
import { type WorkerReply, type WorkerRequest, workerFailure } from "../../worker-calls.ts";
import { SeriesDatabase } from "./series-database.ts";

const { path } = workerData as { readonly path: string };
let open: SeriesDatabase | undefined;

if (parentPort === null) {
  throw new Error("this is the code of a worker thread");
}
const port = parentPort;

port.on("message", (message: WorkerRequest | "close") => {
  if (message === "close") {
    open?.close();
    port.close();
    return;
  }
  port.postMessage(carryOut(message));
});

function carryOut({ number, method, args }: WorkerRequest): WorkerReply {
  try {
    open ??= new SeriesDatabase(path);
    const database = open;
    const call = database[method as keyof SeriesDatabase] as (...values: readonly unknown[]) => unknown;
    return { number, result: call.apply(database, [...args]) };
  } catch (error) {
    return { number, failure: workerFailure(error) };
  }
}
