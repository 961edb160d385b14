import { parentPort, workerData } from "node:worker_threads";
import { createTextRedactor, remembering } from "../redaction/index.ts";
import { AuditFiles } from "./audit-files.ts";
import type { AuditThreadData, AuditThreadReply, AuditThreadRequest } from "./audit-messages.ts";
import type { AuditPage, AuditQuery } from "./audit-query.ts";
import type { Appended } from "./audit-store.ts";

if (parentPort === null) {
  throw new Error("this is the code of a worker thread");
}
const port = parentPort;
const { redaction, echo, ...options } = workerData as AuditThreadData;
let open: AuditFiles | undefined;
let damageTold = false;

port.on("message", (request: AuditThreadRequest) => {
  if (request === "close") {
    open?.close();
    port.close();
    return;
  }
  const { number, method, args } = request;
  let reply: AuditThreadReply;
  try {
    open ??= new AuditFiles({ ...options, redactor: remembering(createTextRedactor(redaction)) });
    reply = { number, result: carryOut(open, method, args) };
  } catch (error) {
    reply = { number, failure: error instanceof Error ? error.message : String(error) };
  }
  port.postMessage(reply);
});

function carryOut(files: AuditFiles, method: string, args: readonly unknown[]): unknown {
  switch (method) {
    case "append":
      return append(files, ...(args as [string, number]));
    case "search":
      return files.search(...(args as [AuditQuery, AuditPage]));
    default:
      return files.tally(...(args as [number, number, number | undefined]));
  }
}

function append(files: AuditFiles, batch: string, nowMs: number): Appended {
  const lines = files.append(batch, nowMs);
  const { damage, copyFailure } = files;
  const told = damageTold;
  damageTold = true;
  return {
    ...(echo ? { lines } : {}),
    ...(damage === undefined || told ? {} : { damage }),
    ...(copyFailure === undefined ? {} : { copyFailure }),
  };
}
