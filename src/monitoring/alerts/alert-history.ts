import type { Alert, AlertView } from "./alert.ts";

/** How an alert has moved, as it is told later. */
export interface PastChange extends Pick<Alert, "rule" | "cause" | "labels" | "value"> {
  readonly timeMs: number;
  readonly key: string;
  readonly before: AlertView;
  readonly after: AlertView;
}

/** Some 500 bytes each. */
export const mostPastChanges = 1_000;

/** How alerts have moved lately. */
export class AlertHistory {
  #changes: PastChange[] = [];

  add(...changes: readonly PastChange[]): void {
    this.#changes.push(...changes.filter(({ before, after }) => !isSame(before, after)));
    // Half of it at once: what is at the front of an array is moved for each that goes.
    if (this.#changes.length > 2 * mostPastChanges) this.#trim();
  }

  /** What was read of several streams, each in its own order, is put into one. */
  sort(): void {
    this.#changes.sort((a, b) => a.timeMs - b.timeMs);
    this.#trim();
  }

  /** Newest first. */
  list(matches: (change: PastChange) => boolean, limit: number): readonly PastChange[] {
    const found: PastChange[] = [];
    const recent = this.#changes.slice(-mostPastChanges);
    for (const change of recent.reverse()) {
      if (found.length === limit) break;
      if (matches(change)) found.push(change);
    }
    return found;
  }

  #trim(): void {
    this.#changes = this.#changes.slice(-mostPastChanges);
  }
}

function isSame(a: AlertView, b: AlertView): boolean {
  return a.state === b.state && (a.severity === b.severity || a.state === "inactive");
}
