import { createHash } from "node:crypto";
import { equals } from "@bufbuild/protobuf";
import { AlertRuleEventSchema } from "../../../gen/retake/v1/alert_event_pb.js";
import { type AlertRule, AlertRuleSchema } from "../../../gen/retake/v1/alert_pb.js";
import type { Clock } from "../../clock.ts";
import type { ConfigProblem, ResolvedAlerting } from "../../config/index.ts";
import { suggestion } from "../../nearest-name.ts";
import { type Journal, type Logger, StoredSettings } from "../../runs/index.ts";
import { durationBounds } from "../telemetry/duration-bounds.ts";
import { builtInRules } from "./built-in-rules.ts";
import { checkRule } from "./check-rule.ts";
import { resolveRule } from "./resolve-rule.ts";
import type { Rule } from "./rule.ts";
import { sloRules } from "./slo-rules.ts";

/** Where a rule comes from. Later ones take the place of earlier ones of the same name. */
export type RuleOrigin = "built_in" | "configuration" | "set";

/** A rule that holds, or would if it were not disabled. */
export interface ListedRule {
  readonly message: AlertRule;
  readonly origin: RuleOrigin;
  /** Absent where it is disabled. */
  readonly rule?: Rule;
}

/** What a configuration says of rules. */
export type ConfiguredRules = Pick<ResolvedAlerting, "rules" | "slos" | "disabledRules">;

/** Each costs its part of every evaluation. */
export const mostSetRules = 1_000;

/** All rules by name, built in, configured and set; the latter as `StoredSettings`. */
export class AlertRules {
  #configured: ReadonlyMap<string, ListedRule> = new Map();
  readonly #set: StoredSettings<typeof AlertRuleEventSchema, ListedRule>;
  /** Changes come one after the other. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor({ journal, clock, log }: { readonly journal: Journal; readonly clock: Clock; readonly log: Logger }) {
    this.#set = new StoredSettings({
      ...{ journal, clock, prefix: "alert-rules/", schema: AlertRuleEventSchema },
      takesBack: ({ rule }) => rule === undefined,
      settingOf: (name, { rule }) => {
        try {
          return rule && listed(rule, "set");
        } catch (error) {
          const message = "a rule that was set makes no sense to this version: it is left out";
          log.error({ err: error, rule: name }, message);
          return undefined;
        }
      },
    });
  }

  /** Reads what earlier processes have left. */
  open(): Promise<void> {
    return this.#set.open();
  }

  /** Goes by this configuration from now on, which has no problems. */
  configure(config: ConfiguredRules): void {
    this.#configured = configuredRules(config).rules;
  }

  /** By name. */
  list(): readonly ListedRule[] {
    const all = new Map([...this.#configured, ...this.#set.entries()]);
    return [...all.values()].sort((a, b) => (a.message.name < b.message.name ? -1 : 1));
  }

  get(name: string): ListedRule | undefined {
    return this.#set.get(name) ?? this.#configured.get(name);
  }

  /** Those that are evaluated. */
  get active(): readonly Rule[] {
    return this.list().flatMap(({ rule }) => (rule === undefined ? [] : [rule]));
  }

  /** Whether there is room for one more of that name. */
  hasRoomFor(name: string): boolean {
    return this.#set.get(name) !== undefined || this.#set.size < mostSetRules;
  }

  /**
   * Sets a rule. Its message must have passed its own rules.
   *
   * @throws Error that says what makes no sense together
   * @throws JournalUnavailableError
   */
  set(message: AlertRule, requestedBy: string): Promise<ListedRule> {
    checkRule(message);
    const next = listed(message, "set");
    return this.#change(async () => {
      const known = this.#set.get(message.name);
      if (known !== undefined && equals(AlertRuleSchema, known.message, message)) return known;
      return (await this.#set.append(message.name, { name: message.name, rule: message, requestedBy })) ?? next;
    });
  }

  /** Takes a rule back that was set; whether there was one. @throws JournalUnavailableError */
  delete(name: string, requestedBy: string): Promise<boolean> {
    return this.#change(async () => {
      if (this.#set.get(name) === undefined) return false;
      await this.#set.append(name, { name, requestedBy });
      return true;
    });
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    const changed = this.#changing.then(work);
    this.#changing = changed.catch(() => undefined);
    return changed;
  }
}

/** The rules of a configuration with those that are built in, and what is wrong with them, by rule. */
export function configuredRules({ rules, slos, disabledRules }: ConfiguredRules): {
  readonly rules: ReadonlyMap<string, ListedRule>;
  readonly problems: readonly ConfigProblem[];
} {
  const found = new Map<string, ListedRule>();
  const problems: ConfigProblem[] = [];
  const builtIn = builtInRules();
  const known = builtIn.map(({ name }) => name);
  for (const [index, name] of disabledRules.entries()) {
    if (known.includes(name)) continue;
    const message = `no built-in rule is named "${name}".${suggestion(name, known)}`;
    problems.push({ field: `monitoring.disabled_rules[${index}]`, message });
  }
  for (const message of builtIn) {
    if (!disabledRules.includes(message.name)) found.set(message.name, listed(message, "built_in"));
  }
  const own = new Set(rules.map(({ name }) => name));
  for (const [index, slo] of slos.entries()) {
    const seconds = slo.latency?.seconds;
    if (seconds !== undefined && !durationBounds.includes(seconds)) {
      const bounds = durationBounds.map((bound) => `${bound}s`).join(", ");
      const message = `runs are not counted by ${seconds}s, so that it could not be seen whether the promise is kept: take one of ${bounds}`;
      problems.push({ field: `monitoring.slos[${index}].latency.threshold`, message });
    }
    const named = sloRules(slo);
    // Of a.b_c and a.b.c: always the same for the same workflow.
    const isTaken = named.some(({ name }) => found.has(name));
    for (const message of isTaken ? sloRules(slo, `_${shortHash(slo.workflow)}`) : named) {
      const clash = own.has(message.name) || found.has(message.name);
      if (clash) {
        const text = `its rule would be named ${message.name}, and so is another one`;
        problems.push({ field: `monitoring.slos[${index}].workflow`, message: text });
      } else {
        found.set(message.name, listed(message, "configuration"));
      }
    }
  }
  for (const [index, message] of rules.entries()) {
    try {
      checkRule(message);
      found.set(message.name, listed(message, "configuration"));
    } catch (error) {
      const text = `the rule ${message.name}: ${(error as Error).message}`;
      problems.push({ field: `monitoring.rules[${index}]`, message: text });
    }
  }
  return { rules: found, problems };
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}

function listed(message: AlertRule, origin: RuleOrigin): ListedRule {
  const rule = resolveRule(message);
  return { message, origin, ...(!message.disabled && { rule }) };
}
