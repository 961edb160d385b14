import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { type WorkerReply, type WorkerRequest, workerFailure } from "../../worker-calls.ts";
import { ArtifactIndex } from "./artifact-index.ts";

/** Requests that share a transaction and its sync. */
const mostAtOnce = 256;

const { path } = workerData as { readonly path: string };
let open: ArtifactIndex | undefined;

if (parentPort === null) {
  throw new Error("this is the code of a worker thread");
}
const port = parentPort;

port.on("message", (first: WorkerRequest | "close") => {
  const requests: WorkerRequest[] = [];
  let message: WorkerRequest | "close" | undefined = first;
  while (message !== undefined && message !== "close") {
    requests.push(message);
    message = requests.length < mostAtOnce ? receiveMessageOnPort(port)?.message : undefined;
  }
  if (requests.length > 0) {
    for (const reply of carryOut(requests)) {
      port.postMessage(reply);
    }
  }
  if (message === "close") {
    open?.close();
    port.close();
  }
});

/** Carries out requests in one transaction, each in a savepoint, so that one which fails does so alone. */
function carryOut(requests: readonly WorkerRequest[]): WorkerReply[] {
  try {
    open ??= new ArtifactIndex(path);
    open.exec("BEGIN IMMEDIATE");
  } catch (error) {
    return requests.map(({ number }) => ({ number, failure: workerFailure(error) }));
  }
  const index = open;
  try {
    const replies = requests.map((request) => carryOutOne(index, request));
    index.exec("COMMIT");
    return replies;
  } catch (error) {
    rollBack(index);
    return requests.map(({ number }) => ({ number, failure: workerFailure(error) }));
  }
}

function carryOutOne(index: ArtifactIndex, { number, method, args }: WorkerRequest): WorkerReply {
  index.exec("SAVEPOINT request");
  try {
    const result = (index[method as keyof ArtifactIndex] as (...values: readonly unknown[]) => unknown).apply(index, [
      ...args,
    ]);
    index.exec("RELEASE request");
    return { number, result };
  } catch (error) {
    index.exec("ROLLBACK TO request");
    index.exec("RELEASE request");
    return { number, failure: workerFailure(error) };
  }
}

function rollBack(index: ArtifactIndex): void {
  try {
    index.exec("ROLLBACK");
  } catch {
    // SQLite has done so itself.
  }
}
