import type { Accepted } from "../../gen/retake/v1/run_pb.js";
import { type ContractRegistry, contractSet, incompatibilities, type Workflow } from "../contract/index.ts";
import { equalBytes } from "./equal-bytes.ts";
import { type AppendOptions, type Journal, JournalConflictError } from "./ports/journal.ts";

export type ContractVerdict =
  | { readonly kind: "same"; readonly workflow: Workflow }
  | { readonly kind: "changed"; readonly problem: string };

/**
 * Tells whether a run can still be executed by the contract of today. The journal keeps the descriptor set of every
 * contract that a run was accepted under, each once, under its digest.
 */
export class ContractCheck {
  readonly #registry: ContractRegistry;
  readonly #journal: Journal;
  /** By digest of then and of today. */
  readonly #verdicts = new Map<string, Promise<ContractVerdict>>();

  constructor(registry: ContractRegistry, journal: Journal) {
    this.#registry = registry;
    this.#journal = journal;
  }

  workflow(name: string): Workflow | undefined {
    return this.#registry.workflows.get(name);
  }

  /** Synchronous where nothing has changed, which is nearly always. */
  check(accepted: Accepted): ContractVerdict | Promise<ContractVerdict> {
    const workflow = this.#registry.workflows.get(accepted.workflow);
    if (workflow === undefined) {
      return { kind: "changed", problem: `the server has no workflow ${accepted.workflow} any more` };
    }
    if (equalBytes(accepted.contractSha256, workflow.contractSha256)) {
      return { kind: "same", workflow };
    }
    const key = `${workflow.name} ${hex(accepted.contractSha256)} ${hex(workflow.contractSha256)}`;
    let verdict = this.#verdicts.get(key);
    if (verdict === undefined) {
      verdict = this.#compare(accepted, workflow);
      this.#verdicts.set(key, verdict);
      verdict.catch(() => this.#verdicts.delete(key));
    }
    return verdict;
  }

  /**
   * Keeps the descriptor sets of contracts, today's by default, before the first run is accepted under them.
   *
   * @throws JournalUnavailableError while the journal fails, if it is to be impatient
   */
  async store(workflows = this.#registry.workflows, options?: AppendOptions): Promise<void> {
    const sets = new Map<string, Workflow>();
    for (const workflow of workflows.values()) {
      sets.set(hex(workflow.contractSha256), workflow);
    }
    for (const [digest, workflow] of sets) {
      try {
        await this.#journal.append(
          [{ stream: `contract/${digest}`, expectedSequence: 0, records: [contractSet(workflow)] }],
          options,
        );
      } catch (error) {
        // It is there already: the digest names its content.
        if (!(error instanceof JournalConflictError)) {
          throw error;
        }
      }
    }
  }

  async #compare(accepted: Accepted, workflow: Workflow): Promise<ContractVerdict> {
    const [record] = await this.#journal.read(`contract/${hex(accepted.contractSha256)}`, 0, 1);
    if (record === undefined) {
      return { kind: "changed", problem: `the journal does not hold the contract that it was accepted under` };
    }
    const [problem, ...more] = incompatibilities(record.data, workflow);
    if (problem === undefined) {
      return { kind: "same", workflow };
    }
    return { kind: "changed", problem: more.length === 0 ? problem : `${problem} (and ${more.length} more)` };
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}
