/** What is measured one after the other, each with servers and a directory of its own. */
export const scenarios = [
  "start-up",
  "recovery",
  "watchers",
  "events",
  "queued",
  "at-once",
  "finished",
  "overload",
  "shedding",
  "failing",
  "breaker",
  "parked",
  "alerts",
  "series",
  "scrape",
] as const;

export type Scenario = (typeof scenarios)[number];

export interface ScenarioOptions {
  /** Empty, and its own. */
  readonly directory: string;
  /** How much there is of what there is much of; 1 is what the bars are about. */
  readonly scale: number;
  readonly signal: AbortSignal;
}

/** What a scenario tells of each of its figures, by name: the values of which the median counts. */
export type Values = ReadonlyMap<string, readonly number[]>;

/** A share of a number, and one at least. */
export function scaled(count: number, { scale }: Pick<ScenarioOptions, "scale">): number {
  return Math.max(1, Math.round(count * scale));
}
