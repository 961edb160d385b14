import { Code, type ConnectError } from "@connectrpc/connect";
import type { AccessRule } from "../../../gen/retake/v1/access_rule_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { Clock } from "../../clock.ts";
import { type ContractRegistry, workflowName } from "../../contract/index.ts";
import { suggestion } from "../../nearest-name.ts";
import {
  createError,
  type Journal,
  JournalConflictError,
  JournalUnavailableError,
  journalUnavailable,
  type Logger,
} from "../../runs/index.ts";
import type { TraceFields } from "../../trace-fields.ts";
import type { Audit, AuditEvent } from "../audit/audit.ts";
import { createDenial } from "../denial.ts";
import { anonymous, type Principal } from "../principal.ts";
import type { AccessControl } from "./access-control.ts";
import { whoIs } from "./denials.ts";
import { levelName } from "./level-name.ts";
import { type StoredRule, StoredRules } from "./stored-rules.ts";

export interface AccessRulesOptions {
  readonly control: AccessControl;
  /** Those of the configuration, by name. */
  readonly configured: Readonly<Record<string, AccessRule>>;
  readonly contracts: Pick<ContractRegistry, "services">;
  readonly journal: Journal;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A rule that is in force: set by an operator, or in the configuration. */
export type RuleInForce = StoredRule | { readonly name: string; readonly rule: AccessRule; readonly revision: 0 };

/** Who changes a rule, why, and which revision they have seen; undefined for whichever there is. */
export interface RuleChange {
  readonly name: string;
  readonly principal: Principal;
  readonly source: string;
  readonly reason: string;
  readonly expectedRevision: number | undefined;
  /** Whose call it is, for the log. */
  readonly call: TraceFields;
}

/**
 * The access rules of the configuration and of operators.
 *
 * 1. A rule is in force once it is durable, for all calls from then on.
 * 2. Nobody gives, or takes back, what they do not have themselves: rules give the same for all workflows, so that
 *    credentials which are limited to some change none.
 * 3. Changes come one after the other.
 */
export class AccessRules {
  readonly #options: AccessRulesOptions;
  readonly #stored: StoredRules;
  /** Rule 3. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(options: AccessRulesOptions) {
    this.#options = options;
    this.#stored = new StoredRules(options);
    this.#use();
  }

  /** Reads what earlier processes have left, and puts it in force. */
  async open(): Promise<void> {
    await this.#stored.open();
    this.#use();
  }

  /** By name, the configuration's first. */
  list(): readonly RuleInForce[] {
    const configured = Object.entries(this.#options.configured).map(([name, rule]) => ({
      ...{ name, rule },
      revision: 0 as const,
    }));
    return [...configured, ...this.#stored.list()].sort((a, b) =>
      a.name === b.name ? a.revision - b.revision : a.name < b.name ? -1 : 1,
    );
  }

  /** @throws ConnectError where it cannot be stored, is more than the caller has, or names what there is not */
  set(change: RuleChange, rule: AccessRule): Promise<StoredRule> {
    return this.#change(change, "access_rule.set", async () => {
      const { name, principal, reason } = change;
      if (Object.hasOwn(this.#options.configured, name)) throw configured(name);
      this.#assertRevision(change);
      this.#assertOwns(principal, this.#stored.get(name)?.rule);
      this.#assertOwns(principal, rule);
      this.#assertKnown(rule);
      return await stored(name, this.#stored.set(name, rule, principal.subject, reason));
    });
  }

  /** Answers what it was. @throws ConnectError where there is none, it cannot be stored, or is more than the caller has */
  delete(change: RuleChange): Promise<StoredRule> {
    return this.#change(change, "access_rule.delete", async () => {
      const { name, principal, reason } = change;
      const known = this.#stored.get(name);
      if (known === undefined) throw Object.hasOwn(this.#options.configured, name) ? configured(name) : unknown(name);
      this.#assertRevision(change);
      this.#assertOwns(principal, known.rule);
      await stored(name, this.#stored.delete(name, principal.subject, reason));
      return known;
    });
  }

  #change(change: RuleChange, action: string, make: () => Promise<StoredRule>): Promise<StoredRule> {
    const changed = this.#changing.then(async () => {
      const { name, principal, source, reason: why, call } = change;
      const event: Omit<AuditEvent, "outcome"> = { action, principal, resource: name, source };
      try {
        const rule = await make();
        this.#use();
        this.#options.audit.record({ ...event, outcome: "granted" });
        this.#options.log.info(
          { rule: name, by: principal.subject, reason: why, action, ...call },
          "an access rule has changed",
        );
        return rule;
      } catch (error) {
        const outcome = (error as Partial<ConnectError>).code === Code.PermissionDenied ? "denied" : "failed";
        this.#options.audit.record({ ...event, outcome });
        throw error;
      }
    });
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  #use(): void {
    const { control, configured } = this.#options;
    control.useRules([...Object.values(configured), ...this.#stored.list().map(({ rule }) => rule)]);
  }

  #assertRevision({ name, expectedRevision }: RuleChange): void {
    const revision = this.#stored.get(name)?.revision ?? 0;
    if (expectedRevision !== undefined && expectedRevision !== revision) {
      throw ruleChanged(name, `the rule ${name} is at revision ${revision}, and not at ${expectedRevision}`);
    }
  }

  /** Rule 2. */
  #assertOwns(principal: Principal, rule: AccessRule | undefined): void {
    if (rule !== undefined && principal.workflows !== undefined) {
      throw aboveOwn(principal, "is not for those workflows alone that your credentials are limited to");
    }
    if (rule === undefined || principal.level >= AccessLevel.ADMIN) return;
    const { control, contracts } = this.#options;
    if ((rule.tenant || anonymous.tenant) !== principal.tenant) {
      throw aboveOwn(principal, `is for the tenant ${rule.tenant || anonymous.tenant}`);
    }
    if (rule.level > principal.level) throw aboveOwn(principal, `gives the level ${levelName(rule.level)}`);
    const methods = methodsByName(contracts);
    for (const name of rule.methods) {
      const method = methods.get(name);
      if (method === undefined || !control.permits(principal, method)) throw aboveOwn(principal, `gives ${name}`);
    }
  }

  #assertKnown({ methods }: AccessRule): void {
    const problem = unknownMethods(methods, this.#options.contracts)[0];
    if (problem !== undefined) throw createError(Code.InvalidArgument, "UNKNOWN_METHOD", `rule.methods: ${problem}`);
  }
}

/** What is wrong with the methods of a rule, a sentence each. */
export function unknownMethods(
  methods: readonly string[],
  contracts: Pick<ContractRegistry, "services">,
): readonly string[] {
  const known = methodsByName(contracts);
  return methods
    .filter((name) => !known.has(name))
    .map((name) => `there is no method ${name} here${suggestion(name, known.keys()) || "."}`);
}

function methodsByName({ services }: Pick<ContractRegistry, "services">) {
  return new Map(
    [...services.values()].flatMap(({ methods }) => methods.map((method) => [workflowName(method), method] as const)),
  );
}

async function stored<T>(name: string, change: Promise<T>): Promise<T> {
  try {
    return await change;
  } catch (error) {
    if (error instanceof JournalUnavailableError) throw journalUnavailable(error);
    if (error instanceof JournalConflictError) {
      throw ruleChanged(name, `the rule ${name} has been changed by a call that was not answered`);
    }
    throw error;
  }
}

function ruleChanged(rule: string, what: string): ConnectError {
  return createError(Code.Aborted, "RULE_CHANGED", `${what}: read it again (ListAccessRules), and decide anew`, {
    metadata: { rule },
  });
}

function aboveOwn(principal: Principal, what: string): ConnectError {
  return createDenial(
    Code.PermissionDenied,
    "GRANT_ABOVE_OWN",
    `the rule ${what}, and nobody gives or takes back what they do not have: you are ${whoIs(principal)}`,
  );
}

function configured(name: string): ConnectError {
  return createError(
    Code.FailedPrecondition,
    "RULE_CONFIGURED",
    `the rule ${name} is in the configuration (security.access.rules): change it there, or take another name`,
  );
}

function unknown(name: string): ConnectError {
  return createError(
    Code.NotFound,
    "UNKNOWN_RULE",
    `operators have set no rule ${JSON.stringify(name)}; ListAccessRules tells which there are`,
  );
}
