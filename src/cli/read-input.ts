import { readFile } from "node:fs/promises";
import { UsageError } from "./cli-error.ts";
import type { CliIo } from "./io.ts";

/** Where an input came from, and its text. */
export interface InputText {
  /** For messages: `--input`, `story.json`, `standard input`. */
  readonly source: string;
  readonly text: string;
}

/** The text of `--input`: itself, a file's behind `@`, standard input's for `-`. @throws UsageError */
export async function readInput(given: string | undefined, io: CliIo): Promise<InputText> {
  if (given === undefined) return { source: "--input", text: "{}" };
  if (given === "-") return { source: "standard input", text: decode("standard input", await readAll(io)) };
  if (!given.startsWith("@")) return { source: "--input", text: given };
  const file = given.slice(1);
  if (file === "") throw new UsageError("--input: a file's name is missing behind @");
  try {
    return { source: file, text: decode(file, await readFile(file, { signal: io.signal })) };
  } catch (error) {
    if (error instanceof UsageError || io.signal.aborted) throw error;
    throw new UsageError(`--input: ${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

async function readAll({ stdin, signal }: CliIo): Promise<Uint8Array> {
  const iterator = stdin[Symbol.asyncIterator]();
  const interrupted = Promise.withResolvers<never>();
  const onAbort = (): void => interrupted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const chunks: Uint8Array[] = [];
  try {
    for (;;) {
      signal.throwIfAborted();
      const chunk = await Promise.race([iterator.next(), interrupted.promise]);
      if (chunk.done === true) return Buffer.concat(chunks);
      chunks.push(chunk.value);
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function decode(source: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new UsageError(`${source} is no UTF-8 text`, { cause: error });
  }
}
