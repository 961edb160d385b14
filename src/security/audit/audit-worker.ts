import { parentPort, workerData } from "node:worker_threads";
import { giveWay } from "../../give-way.ts";
import { type WorkerReply, type WorkerRequest, workerFailure } from "../../worker-calls.ts";
import { createTextRedactor, remembering } from "../redaction/index.ts";
import { AuditFiles } from "./audit-files.ts";
import type { AuditThreadData, HostedAudit } from "./audit-messages.ts";
import { OtlpAuditWriter } from "./audit-otlp.ts";

if (parentPort === null) {
  throw new Error("this is the code of a worker thread");
}
const port = parentPort;
// Nobody waits for it, and whoever waits for the journal needs the same cores.
giveWay();
const { redaction, echo, ...options } = workerData as AuditThreadData;
const redactor = remembering(createTextRedactor(redaction));
let files: AuditFiles | undefined;
let damageTold = false;
/** What the records of the last append took, and some more. */
let otlpBytes = 16 * 1024;
const spare = 1.2;
/** What goes with the next reply. */
const handedOver: ArrayBuffer[] = [];

const hosted: HostedAudit = {
  open: () => untold(open()),
  append(batch, nowMs) {
    const log = open();
    const otlp = echo.otlp ? new OtlpAuditWriter(otlpBytes) : undefined;
    const { openFile } = log;
    const lines = log.append(batch, nowMs, otlp);
    const { copyFailure } = log;
    const damage = untold(log);
    const written = otlp?.take();
    if (written !== undefined) {
      otlpBytes = Math.ceil(written.bytes.length * spare);
      handedOver.push(written.bytes.buffer, written.ends.buffer);
    }
    return {
      ...(echo.lines ? { lines } : {}),
      ...(written === undefined ? {} : { otlp: written }),
      ...(damage === undefined ? {} : { damage }),
      ...(openFile === 0 || openFile === log.openFile ? {} : { inNewFile: true }),
      ...(copyFailure === undefined ? {} : { copyFailure }),
    };
  },
  search: (query, page) => open().search(query, page),
  tally: (sinceMs, untilMs, from) => open().tally(sinceMs, untilMs, from),
  note: () => open().note(),
};

port.on("message", (request: WorkerRequest | "close") => {
  if (request === "close") {
    files?.close();
    port.close();
    return;
  }
  const { number, method, args } = request;
  let reply: WorkerReply;
  try {
    const call = hosted[method as keyof HostedAudit] as (...given: readonly unknown[]) => unknown;
    reply = { number, result: call(...args) };
  } catch (error) {
    reply = { number, failure: workerFailure(error) };
  }
  port.postMessage(reply, handedOver.splice(0));
});

function untold({ damage }: AuditFiles): string | undefined {
  if (damageTold) return undefined;
  damageTold = true;
  return damage;
}

/** When first needed: what fails then is told to who needs it. */
function open(): AuditFiles {
  files ??= new AuditFiles({ ...options, redactor });
  return files;
}
