/** What has a place in the order of service. */
export interface Ranked {
  readonly priority: number;
  /** When its line was served last, or began: higher the later. */
  readonly turn: number;
}

/** Whether `a` is served before `b`: the higher priority first, then the line that has not been served for longer. */
export function ranksBefore(a: Ranked, b: Ranked): boolean {
  return a.priority === b.priority ? a.turn < b.turn : a.priority > b.priority;
}
