import type { Workflow } from "../contract/index.ts";

/** What has become of workflows, by their names. */
export interface ContractChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Their messages, their method, or something that their files import. */
  readonly contractChanged: readonly string[];
  readonly policyChanged: readonly string[];
  readonly unchanged: number;
}

/** Compares the workflows of two times. */
export function contractChanges(
  before: ReadonlyMap<string, Workflow>,
  now: ReadonlyMap<string, Workflow>,
): ContractChanges {
  const kept = [...now.values()].flatMap((workflow) => {
    const old = before.get(workflow.name);
    return old === undefined ? [] : [{ name: workflow.name, old, workflow }];
  });
  const contractChanged = kept
    .filter(({ old, workflow }) => Buffer.compare(old.contractSha256, workflow.contractSha256) !== 0)
    .map(({ name }) => name);
  const policyChanged = kept
    .filter(({ old, workflow }) => old.policyRevision !== workflow.policyRevision)
    .map(({ name }) => name);
  return {
    added: [...now.keys()].filter((name) => !before.has(name)),
    removed: [...before.keys()].filter((name) => !now.has(name)),
    contractChanged,
    policyChanged,
    unchanged: kept.length - new Set([...contractChanged, ...policyChanged]).size,
  };
}
