import type { DescMethod, Message } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import type { AccessRule } from "../../../gen/retake/v1/access_rule_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { Clock } from "../../clock.ts";
import { type ContractRegistry, type Workflow, workflowName } from "../../contract/index.ts";
import { createError, type Logger } from "../../runs/index.ts";
import { traceFields } from "../../trace-fields.ts";
import type { Principal } from "../principal.ts";
import { conditionHolds } from "./condition.ts";
import { denied, priorityDenied, reservedSubject } from "./denials.ts";
import { effectivePrincipal, type GivenRights, givenRights, isReserved } from "./given-rights.ts";
import { readRequirements } from "./method-requirements.ts";
import { lackOf, type Requirement } from "./requirement.ts";

export interface AccessControlOptions {
  readonly contracts: ContractRegistry;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The priority of runs that are never refused for overload. */
const neverShed = 100;

/**
 * Who may do what, at this moment: what is asked goes by the contracts that are served, and by the rules that hold. What
 * a method takes is worked out once for a contract, and what a caller has once for a principal, as long as the
 * authentication gives the same object for the same credentials.
 */
export class AccessControl {
  readonly #options: AccessControlOptions;
  #requirements: ReadonlyMap<DescMethod, Requirement> = new Map();
  #contracts: unknown;
  #rights: GivenRights = [];
  #effective = new WeakMap<Principal, Principal>();
  /** Whose an effective principal is: other rules make another of it. */
  readonly #origins = new WeakMap<Principal, Principal>();

  constructor(options: AccessControlOptions) {
    this.#options = options;
  }

  /** Goes by these rules from now on. */
  useRules(rules: Iterable<AccessRule>): void {
    this.#rights = givenRights(rules);
    this.#effective = new WeakMap();
  }

  /** A caller with what the rules give it. @throws ConnectError for credentials of a reserved subject */
  effective(principal: Principal): Principal {
    const known = this.#effective.get(principal);
    if (known !== undefined) return known;
    const origin = this.#origins.get(principal) ?? principal;
    if (isReserved(origin)) throw reservedSubject(origin);
    const effective = effectivePrincipal(origin, this.#rights);
    this.#effective.set(principal, effective);
    if (effective !== origin) {
      this.#effective.set(effective, effective);
      this.#origins.set(effective, origin);
    }
    return effective;
  }

  /** What it takes to call a method. @throws ConnectError UNAVAILABLE where contracts have changed too much for the call */
  requirement(method: DescMethod): Requirement {
    const { contents } = this.#options.contracts;
    if (contents !== this.#contracts) {
      this.#requirements = readRequirements(contents);
      this.#contracts = contents;
    }
    return this.#requirements.get(method) ?? this.#requirementOfEarlier(method);
  }

  /**
   * A call on its way goes by the contract that it was read by, and by the access of today's. A condition reads messages
   * of today's contract only.
   */
  #requirementOfEarlier(method: DescMethod): Requirement {
    const service = this.#options.contracts.services.get(method.parent.typeName);
    const current = service?.methods.find(({ name }) => name === method.name);
    const requirement = current && this.#requirements.get(current);
    if (requirement === undefined || requirement.condition !== undefined) throw contractsChanged(method);
    return requirement;
  }

  /** Whether a caller may call a method at all, whatever the condition says of a request. */
  permits(principal: Principal, method: DescMethod): boolean {
    return lackOf(principal, this.requirement(method)) === undefined;
  }

  /**
   * @param traceparent of the call, for the log; empty for none
   * @throws ConnectError unless the caller may start this, by whichever way
   */
  assertMayRun(principal: Principal, { method }: Workflow, request: Message, traceparent: string): void {
    const requirement = this.requirement(method);
    this.assertLevel(principal, requirement);
    this.assertCondition(principal, requirement, request, traceparent);
  }

  /** Everything but the condition. @throws ConnectError */
  assertLevel(principal: Principal, requirement: Requirement): void {
    const lack = lackOf(principal, requirement);
    if (lack !== undefined) throw denied(principal, requirement, lack);
  }

  /**
   * @param traceparent of the call, for the log; empty for none
   * @throws ConnectError also where the condition has no value
   */
  assertCondition(principal: Principal, requirement: Requirement, request: Message, traceparent: string): void {
    const { condition, method } = requirement;
    if (condition === undefined) return;
    let holds = false;
    try {
      holds = conditionHolds(condition, principal, request, this.#options.clock.now());
    } catch (error) {
      const { tenant, subject } = principal;
      this.#options.log.warn(
        { err: error, method, tenant, subject, ...traceFields(traceparent) },
        "a call was denied because the access condition of its policy has no value for it",
      );
    }
    if (!holds) throw denied(principal, requirement, "condition");
  }

  /** @throws ConnectError when a caller may not take precedence like that */
  assertPriority(principal: Principal, priority: number): void {
    if (priority <= 0) return;
    const min = priority >= neverShed ? AccessLevel.ADMIN : AccessLevel.AUTHENTICATED;
    if (principal.level < min) throw priorityDenied(principal, priority, min);
  }
}

/** Long enough for the ports to serve the new contracts. */
const retryDelayMs = 100;

function contractsChanged(method: DescMethod): ConnectError {
  return createError(
    Code.Unavailable,
    "CONTRACTS_CHANGED",
    `the contract of ${workflowName(method)} was replaced while this call was on its way: call again`,
    { retryDelayMs },
  );
}

/** The priority of a run that is started again by somebody who may ask for less. */
export function priorityWithin({ level }: Principal, priority: number): number {
  if (level >= AccessLevel.ADMIN) return priority;
  return Math.min(priority, level >= AccessLevel.AUTHENTICATED ? neverShed - 1 : 0);
}
