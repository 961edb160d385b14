import { type AccessRule, AccessRuleEventSchema } from "../../../gen/retake/v1/access_rule_pb.js";
import type { Clock } from "../../clock.ts";
import { type Journal, msFromTimestamp, StoredSettings } from "../../runs/index.ts";

/** A rule that an operator has set, as the journal has it. */
export interface StoredRule {
  readonly name: string;
  readonly rule: AccessRule;
  /** Higher with each change of that name. */
  readonly revision: number;
  readonly setBy: string;
  readonly setMs: number;
  readonly reason: string;
}

/** The access rules that operators set while the server runs, as `StoredSettings`. */
export class StoredRules {
  readonly #stored: StoredSettings<typeof AccessRuleEventSchema, StoredRule>;

  constructor({ journal, clock }: { readonly journal: Journal; readonly clock: Clock }) {
    this.#stored = new StoredSettings({
      ...{ journal, clock, prefix: "access/", schema: AccessRuleEventSchema },
      takesBack: ({ event }) => event.case === "deleted",
      settingOf: (name, { event, time }, revision) => {
        if (event.case !== "set" || event.value.rule === undefined) return undefined;
        const { rule, requestedBy, reason } = event.value;
        return { name, rule, revision, setBy: requestedBy, setMs: msFromTimestamp(time), reason };
      },
    });
  }

  get(name: string): StoredRule | undefined {
    return this.#stored.get(name);
  }

  list(): readonly StoredRule[] {
    return this.#stored.list();
  }

  /** Reads what earlier processes have left. */
  open(): Promise<void> {
    return this.#stored.open();
  }

  /** @throws JournalUnavailableError, JournalConflictError */
  async set(name: string, rule: AccessRule, requestedBy: string, reason: string): Promise<StoredRule> {
    const stored = await this.#stored.append(name, { event: { case: "set", value: { rule, requestedBy, reason } } });
    return stored as StoredRule;
  }

  /** @throws JournalUnavailableError, JournalConflictError */
  async delete(name: string, requestedBy: string, reason: string): Promise<void> {
    await this.#stored.append(name, { event: { case: "deleted", value: { requestedBy, reason } } });
  }
}
