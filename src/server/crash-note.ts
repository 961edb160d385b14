import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { FailureSchema } from "../../gen/retake/v1/run_pb.js";
import type { Crash } from "../runs/index.ts";

/** In the data directory. */
export const crashNoteName = "crash.json";

/** Leaves word for the next start of what ends this process. Synchronous: nothing is executed after it. */
export function writeCrashNote(path: string, { failure, ...crash }: Crash): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, JSON.stringify({ ...crash, failure: toJson(FailureSchema, failure) }), {
    mode: 0o600,
    flush: true,
  });
}

/**
 * What the last process has left word of; undefined for none.
 *
 * @throws Error when it cannot be read, or does not say what it must
 */
export function readCrashNote(path: string): Crash | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const read = JSON.parse(text) as Partial<Record<keyof Crash, JsonValue>> | null;
  const { runId, token, atMs, failure } = read ?? {};
  if (typeof runId !== "string" || typeof token !== "string" || typeof atMs !== "number" || failure === undefined) {
    throw new Error(`${path} does not name an attempt, a time and a failure`);
  }
  return { runId, token, atMs, failure: fromJson(FailureSchema, failure) };
}

export function removeCrashNote(path: string): void {
  rmSync(path, { force: true });
}
