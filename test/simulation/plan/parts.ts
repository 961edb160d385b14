import { methodNames, type Plan } from "./plan.ts";
import type { PolicyPlan } from "./policy-plan.ts";

const budgetPart = "retryBudget";

/** What a policy may lack. */
const policyParts = [
  "attemptTimeoutMs",
  "progressTimeoutMs",
  "retry",
  "concurrency",
  "breaker",
  "fallbacks",
  "quality",
  "recovery",
] as const;

/** What can be left out of a plan, by name: faults, actors, their later visits, operations of works, parts of policies. */
export function partsOf({ faults, actors, works, policies, server }: Plan): string[] {
  return [
    ...faults.map((_, index) => faultPart(index)),
    ...actors.map(({ name }) => name),
    ...actors.flatMap((actor) =>
      actor.kind === "caller" ? actor.visits.slice(1).map((_, index) => visitPart(actor.name, index + 1)) : [],
    ),
    ...works.flatMap(({ operations }, work) => operations.map((_, index) => operationPart(work, index))),
    ...(server.retryBudget === undefined ? [] : [budgetPart]),
    ...methodNames.flatMap((method) =>
      policyParts.filter((part) => policies[method][part] !== undefined).map((part) => policyPart(method, part)),
    ),
  ];
}

/** A plan without some of its parts, named as in that plan. */
export function leaveOut(plan: Plan, parts: ReadonlySet<string>): Plan {
  const stays = (part: string): boolean => !parts.has(part);
  const { retryBudget, ...server } = plan.server;
  return {
    ...plan,
    server: retryBudget === undefined || !stays(budgetPart) ? server : plan.server,
    faults: plan.faults.filter((_, index) => stays(faultPart(index))),
    actors: plan.actors
      .filter(({ name }) => stays(name))
      .map((actor) =>
        actor.kind === "caller"
          ? { ...actor, visits: actor.visits.filter((_, index) => stays(visitPart(actor.name, index))) }
          : actor,
      ),
    works: plan.works.map((work, index) => ({
      ...work,
      operations: work.operations.filter((_, operation) => stays(operationPart(index, operation))),
    })),
    policies: Object.fromEntries(
      methodNames.map((method) => [
        method,
        withoutParts(plan.policies[method], (part) => stays(policyPart(method, part))),
      ]),
    ) as Plan["policies"],
  };
}

function withoutParts(policy: PolicyPlan, stays: (part: string) => boolean): PolicyPlan {
  const left: Record<string, unknown> = { ...policy };
  for (const part of policyParts) {
    if (!stays(part)) {
      delete left[part];
    }
  }
  return left as unknown as PolicyPlan;
}

function faultPart(index: number): string {
  return `fault-${index}`;
}

function visitPart(actor: string, index: number): string {
  return `${actor}.${index}`;
}

function operationPart(work: number, index: number): string {
  return `work-${work}.${index}`;
}

function policyPart(method: string, part: string): string {
  return `${method}.${part}`;
}
