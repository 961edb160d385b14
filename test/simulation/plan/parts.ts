import { methodNames, type Plan } from "./plan.ts";

/** What a server may lack. */
const serverParts = ["retryBudget", "probes", "remotes"] as const;

/** What a policy may lack. */
export const policyParts = [
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
    ...serverParts.filter((part) => server[part] !== undefined),
    ...methodNames.flatMap((method) =>
      policyParts.filter((part) => policies[method][part] !== undefined).map((part) => policyPart(method, part)),
    ),
  ];
}

/** A plan without some of its parts, named as in that plan. */
export function leaveOut(plan: Plan, parts: ReadonlySet<string>): Plan {
  const stays = (part: string): boolean => !parts.has(part);
  return {
    ...plan,
    server: withoutParts(plan.server, serverParts, stays),
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
        withoutParts(plan.policies[method], policyParts, (part) => stays(policyPart(method, part))),
      ]),
    ) as Plan["policies"],
  };
}

function withoutParts<Whole extends object>(
  whole: Whole,
  parts: readonly (keyof Whole & string)[],
  stays: (part: string) => boolean,
): Whole {
  const left = { ...whole };
  for (const part of parts) {
    if (!stays(part)) {
      delete left[part];
    }
  }
  return left;
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

export function policyPart(method: string, part: string): string {
  return `${method}.${part}`;
}
