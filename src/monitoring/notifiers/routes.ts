import type { ResolvedRoute } from "../../config/index.ts";
import { resolveMatchers } from "../alerts/resolve-rule.ts";
import { type LabelTest, labelTest } from "../series/matcher.ts";
import type { Labels } from "../series/series.ts";
import type { Notifier } from "./notifier.ts";

/** As Alertmanager has it. */
const defaultRepeatMs = 4 * 3_600_000;

/** An alert whose absence is to be noticed must not be long away. */
const deadmanRepeatMs = 60_000;

/** Who is told of an alert, and how often again while it fires. */
export class Routes {
  readonly #routes: readonly (Omit<ResolvedRoute, "matchers"> & { readonly test: LabelTest })[];
  readonly #notifiers: readonly Notifier[];

  /** @throws TypeError for a matcher that is no regular expression */
  constructor(routes: readonly ResolvedRoute[], notifiers: readonly Notifier[]) {
    this.#notifiers = notifiers;
    this.#routes = routes.map(({ matchers, ...route }) => ({ ...route, test: labelTest(resolveMatchers(matchers)) }));
  }

  /** By the name of the notifier, in ms. */
  of(labels: Labels): ReadonlyMap<string, number> {
    const isDeadman = labels["deadman"] === "true";
    const usualMs = isDeadman ? deadmanRepeatMs : defaultRepeatMs;
    const told = new Map<string, number>();
    if (this.#routes.length === 0) {
      for (const { name, forPeople } of this.#notifiers) if (!isDeadman || !forPeople) told.set(name, usualMs);
      return told;
    }
    for (const { test, notifiers, repeatMs = usualMs, continue: goesOn } of this.#routes) {
      if (!test(labels)) continue;
      for (const name of notifiers) if (!told.has(name)) told.set(name, repeatMs);
      if (!goesOn) break;
    }
    return told;
  }
}
