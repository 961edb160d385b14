import { CompilationError, RuntimeError, ValidationError } from "@bufbuild/protovalidate";
import { JournalUnavailableError } from "../ports/journal.ts";
import { type Finding, finding } from "./finding.ts";
import type { KnownReason } from "./kinds.ts";
import { readProperty, readText } from "./read-property.ts";

/** Names that the platform gives its errors (`DOMException`), and libraries after it. */
const names: ReadonlyMap<string, KnownReason> = new Map([
  ["AbortError", "ABORTED"],
  ["TimeoutError", "TIMEOUT"],
  // protobuf-es, of JSON
  ["FieldValueInvalidError", "UNDECODABLE"],
]);

/** What the class of an error, or its name, says. */
export function findErrorType(error: unknown): Finding | undefined {
  if (error instanceof JournalUnavailableError) {
    return finding("JOURNAL", "");
  }
  if (error instanceof ValidationError) {
    return finding("INVALID", "");
  }
  if (error instanceof CompilationError || error instanceof RuntimeError) {
    return finding("BROKEN_RULE", error.name);
  }
  const name = error instanceof Error || error instanceof DOMException ? readText(error, "name") : "";
  const known = names.get(name);
  if (known !== undefined) {
    return finding(known, name);
  }
  return findProcess(error) ?? findBug(error);
}

/** How a program ended that was started with node:child_process. */
function findProcess(error: unknown): Finding | undefined {
  if (!(error instanceof Error) || (readText(error, "cmd") === "" && readProperty(error, "stderr") === undefined)) {
    return undefined;
  }
  const signal = readText(error, "signal");
  const exit = [readProperty(error, "code"), readProperty(error, "status")].find((code) => typeof code === "number");
  if (signal !== "") {
    return finding("PROCESS_KILLED", signal);
  }
  // Shells and container runtimes: 128 and the number of the signal.
  if (typeof exit === "number" && exit > killedStatus && exit <= killedStatus + mostSignals) {
    return finding("PROCESS_KILLED", String(exit));
  }
  return typeof exit === "number" ? finding("PROCESS_FAILED", String(exit)) : undefined;
}

const killedStatus = 128;
const mostSignals = 64;

/** The language's own errors: nobody throws them on purpose, but fetch and JSON.parse. */
function findBug(error: unknown): Finding | undefined {
  const bug =
    error instanceof TypeError ||
    error instanceof ReferenceError ||
    error instanceof RangeError ||
    error instanceof SyntaxError;
  return bug ? finding("PROGRAM_ERROR", nameOfBug(error)) : undefined;
}

function nameOfBug(error: Error): string {
  return [TypeError, ReferenceError, RangeError, SyntaxError].find((type) => error instanceof type)?.name ?? "";
}
