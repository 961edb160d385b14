import { JournalConflictError, JournalOpenError, JournalUnavailableError } from "../../ports/journal.ts";
import { PayloadDamagedError } from "../../ports/payloads.ts";

/** An error on its way between threads, which do not share classes. */
export interface Failure {
  readonly kind: "conflict" | "open" | "unavailable" | "damaged payload" | "range" | "other";
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** The fields of its class, in the order of its constructor. */
  readonly fields: readonly unknown[];
  /** Node's code, and SQLite's. */
  readonly codes: { readonly code?: unknown; readonly errcode?: unknown };
  readonly cause: Failure | undefined;
}

export function toFailure(error: unknown): Failure {
  if (!(error instanceof Error)) {
    return toFailure(new Error(String(error)));
  }
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  return {
    ...kindOf(error),
    name: error.name,
    message: error.message,
    stack: error.stack,
    codes: { ...(code === undefined ? {} : { code }), ...(errcode === undefined ? {} : { errcode }) },
    cause: error.cause === undefined ? undefined : toFailure(error.cause),
  };
}

export function fromFailure(failure: Failure): Error {
  const error = create(failure);
  if (failure.stack !== undefined) {
    error.stack = failure.stack;
  }
  return Object.assign(error, failure.codes);
}

function kindOf(error: Error): Pick<Failure, "kind" | "fields"> {
  if (error instanceof JournalConflictError) {
    return { kind: "conflict", fields: [error.stream, error.expectedSequence] };
  }
  if (error instanceof JournalOpenError) {
    return { kind: "open", fields: [error.reason] };
  }
  if (error instanceof PayloadDamagedError) {
    return { kind: "damaged payload", fields: [error.runId, error.sha256, error.what] };
  }
  if (error instanceof JournalUnavailableError) {
    return { kind: "unavailable", fields: [] };
  }
  return { kind: error instanceof RangeError ? "range" : "other", fields: [] };
}

function create({ kind, name, message, fields, cause }: Failure): Error {
  const options = cause === undefined ? undefined : { cause: fromFailure(cause) };
  switch (kind) {
    case "conflict":
      return new JournalConflictError(...(fields as ConstructorParameters<typeof JournalConflictError>));
    case "open":
      return new JournalOpenError(fields[0] as JournalOpenError["reason"], message, options);
    case "damaged payload":
      return new PayloadDamagedError(...(fields as [string, Uint8Array, string]), options);
    case "unavailable":
      return new JournalUnavailableError(message, options);
    case "range":
      return new RangeError(message, options);
    case "other":
      return name === "Error" ? new Error(message, options) : Object.assign(new Error(message, options), { name });
  }
}
