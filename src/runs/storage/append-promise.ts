import type { AppendOptions, Journal, StreamAppend } from "../ports/journal.ts";

/** `Journal.append`, by `Journal.order`. */
export function appendPromise(
  journal: Pick<Journal, "order">,
  appends: readonly StreamAppend[],
  options?: AppendOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    journal.order(appends, (failure) => (failure === undefined ? resolve() : reject(failure)), options);
  });
}
