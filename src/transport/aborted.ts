import { Code, ConnectError } from "@connectrpc/connect";

/** The error of a call whose signal was aborted: the reason if it is a ConnectError, else Canceled. */
export function errorFromAborted(signal: AbortSignal): ConnectError {
  return ConnectError.from(signal.reason, Code.Canceled);
}

/** Throws the error of errorFromAborted if the signal is aborted. */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) {
    throw errorFromAborted(signal);
  }
}

/** Settles as the promise does, or rejects with the error of errorFromAborted when the signal aborts first. */
export async function untilAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  let onAbort: (() => void) | undefined;
  try {
    return await new Promise<T>((resolve, reject) => {
      // First, so that a rejection of the promise is never left unhandled.
      promise.then(resolve, reject);
      onAbort = () => reject(errorFromAborted(signal));
      if (signal.aborted) {
        onAbort();
      } else {
        signal.addEventListener("abort", onAbort);
      }
    });
  } finally {
    if (onAbort !== undefined) {
      signal.removeEventListener("abort", onAbort);
    }
  }
}
