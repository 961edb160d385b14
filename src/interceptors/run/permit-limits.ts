import type { Workflow } from "../../contract/index.ts";
import { type Limit, type RunOwner, workflowLimitKey } from "../../runs/index.ts";

/** The limits that an attempt counts under, beside the slots of its endpoint. */
export type PermitLimits = (workflow: Workflow, owner: RunOwner) => readonly Limit[];

/** @param concurrencyLimit attempts at once, over all workflows */
export function createPermitLimits(concurrencyLimit: number): PermitLimits {
  const shared = new WeakMap<Workflow, readonly Limit[]>();
  return (workflow, owner) => {
    const { limit, perPrincipal } = workflow.policy.concurrency;
    let limits = shared.get(workflow);
    if (limits === undefined) {
      limits = [
        { key: "server", gate: "server", limit: concurrencyLimit },
        { key: workflowLimitKey(workflow.name), gate: "workflow", limit },
      ];
      shared.set(workflow, limits);
    }
    if (perPrincipal === Number.POSITIVE_INFINITY) {
      return limits;
    }
    const key = `principal/${segment(owner.tenant)}/${segment(owner.subject)} in ${workflowLimitKey(workflow.name)}`;
    return [...limits, { key, gate: "principal", limit: perPrincipal }];
  };
}

/** So that no two owners share a key, whatever their names have in them. */
function segment(name: string): string {
  return name.replaceAll(/[%/ ]/g, encodeURIComponent);
}
