import { JournalUnavailableError } from "../ports/journal.ts";
import { LogLostError } from "./rewrite-log.ts";

/** Primary result codes (https://sqlite.org/rescode.html). */
const code = {
  perm: 3,
  busy: 5,
  locked: 6,
  noMemory: 7,
  readOnly: 8,
  io: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  protocol: 15,
  notADatabase: 26,
} as const;

const damage: ReadonlySet<number> = new Set([code.corrupt, code.notADatabase]);
const trouble: ReadonlySet<number> = new Set([
  code.perm,
  code.busy,
  code.locked,
  code.noMemory,
  code.readOnly,
  code.io,
  code.full,
  code.cannotOpen,
  code.protocol,
]);

/** The primary code of an error of `node:sqlite`, which gives extended ones; undefined for any other error. */
function primaryCode(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: unknown };
  return error instanceof Error && typeof errcode === "number" ? errcode & 0xff : undefined;
}

export function isBusy(error: unknown): boolean {
  return primaryCode(error) === code.busy;
}

/** The file is not, or no longer, a sound database. Waiting does not mend that. */
export function isDamage(error: unknown): boolean {
  return damage.has(primaryCode(error) ?? -1);
}

/** The storage refuses, whoever asks; any other error is the fault of the statement. */
export function isStorageError(error: unknown): boolean {
  return isDamage(error) || trouble.has(primaryCode(error) ?? -1);
}

/** What the storage refuses, in words for whoever waits for it. */
export function unavailable(error: unknown, directory: string): JournalUnavailableError {
  if (error instanceof JournalUnavailableError) {
    return error;
  }
  return new JournalUnavailableError(`the journal in ${directory} ${inWords(error)}`, { cause: error });
}

function inWords(error: unknown): string {
  const reason = describe(error);
  if (isDamage(error)) {
    return `is damaged (${reason}): stop the server, keep a copy of the directory, and restore a backup`;
  }
  if (error instanceof LogLostError) {
    return `has lost what was written and not yet acknowledged (${reason}): restart the server, which goes on from what is durable`;
  }
  return `cannot be used at the moment: ${reason}`;
}

export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
