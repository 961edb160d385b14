import { hash } from "node:crypto";

/**
 * The ids of a run's spans follow from the run: whoever makes them, before a crash or after a restart, makes the same.
 */
export function runSpanId(runId: string): string {
  // The spans within a run ask for it one after the other.
  if (runId !== lastRunId) {
    lastRunSpanId = spanId(runId);
    lastRunId = runId;
  }
  return lastRunSpanId;
}

let lastRunId = "";
let lastRunSpanId = spanId(lastRunId);

export function attemptSpanId(runId: string, attempt: number): string {
  return spanId(`${runId}/${attempt}`);
}

/** Of the call of a back-end by an attempt. */
export function callSpanId(runId: string, attempt: number): string {
  return spanId(`${runId}/${attempt}/call`);
}

export function stepSpanId(runId: string, attempt: number, name: string): string {
  return spanId(`${runId}/${attempt}/step/${name}`);
}

/** Of a run that nobody's trace has led to. */
export function ownTraceId(runId: string): string {
  return hash("sha256", `trace/${runId}`, "hex").slice(0, 32);
}

function spanId(text: string): string {
  return hash("sha256", text, "hex").slice(0, 16);
}
