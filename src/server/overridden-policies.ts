import { Code, type ConnectError } from "@connectrpc/connect";
import type { WorkflowPolicy } from "../../gen/retake/v1/options_pb.js";
import {
  ContractError,
  type ContractProblem,
  type ContractRegistry,
  overridePolicies,
  type ReadContracts,
} from "../contract/index.ts";
import {
  createError,
  JournalConflictError,
  JournalUnavailableError,
  journalUnavailable,
  type Logger,
  type PolicyOverrides,
  type StoredOverride,
} from "../runs/index.ts";
import type { TraceFields } from "../trace-fields.ts";

export interface OverriddenPoliciesOptions {
  readonly contracts: ContractRegistry;
  readonly overrides: PolicyOverrides;
  /** What else is wrong with the workflows of contracts that are about to be served. */
  problems(contracts: ReadContracts): readonly ContractProblem[];
  /** Called when other policies of the same contracts are served. */
  onServed(): void;
  readonly log: Logger;
}

/** What may be wrong with a change, so that nothing has come of it. */
export type ChangeRefusal =
  | { readonly kind: "unknown"; readonly workflow: string }
  | { readonly kind: "invalid"; readonly problems: readonly ContractProblem[] };

/** A change that was not made. */
export class ChangeRefused extends Error {
  override readonly name = "ChangeRefused";
  readonly refusal: ChangeRefusal;

  constructor(refusal: ChangeRefusal) {
    super(refusal.kind);
    this.refusal = refusal;
  }
}

/** Who changes an override, why, and which revision they have seen; undefined for whichever there is. */
export interface Change {
  readonly workflow: string;
  readonly requestedBy: string;
  readonly reason: string;
  readonly expectedRevision: number | undefined;
  /** Whose call it is, for the log. */
  readonly call: TraceFields;
}

/**
 * Puts what operators override at run time on top of the contracts that are served.
 *
 * 1. An override takes effect once it is durable, for all workflows at once.
 * 2. One that does not fit is not in force, and says why; it never stops a server or a change of the contracts.
 * 3. Changes of overrides and of contracts come one after the other, so that none is computed from what another replaces.
 */
export class OverriddenPolicies {
  readonly #options: OverriddenPoliciesOptions;
  /** What is served, without what was overridden at run time. */
  #base: ReadContracts;
  /** Why an override is not in force, by its workflow. */
  #problems: ReadonlyMap<string, readonly string[]> = new Map();
  /** Rule 3. */
  #changing: Promise<unknown> = Promise.resolve();
  /** Called after a change of the policies, while the next one waits. */
  onChanged: (() => Promise<void>) | undefined;

  constructor(options: OverriddenPoliciesOptions) {
    this.#options = options;
    this.#base = options.contracts.contents;
  }

  /** Reads what earlier processes have left, and puts it in force. */
  open(): Promise<void> {
    return this.#change(async () => {
      await this.#options.overrides.open();
      this.#serve(this.#base);
    });
  }

  /** Serves other contracts when `prepare` has resolved; `adopted` is called before anybody sees them. */
  adopt(contracts: ReadContracts, prepare: () => Promise<void>, adopted: () => void): Promise<void> {
    return this.#change(async () => {
      await prepare();
      this.#serve(contracts);
      adopted();
    });
  }

  /** By the names of their workflows. */
  list(): readonly StoredOverride[] {
    return [...this.#options.overrides.list()].sort((a, b) => (a.workflow < b.workflow ? -1 : 1));
  }

  /** Why the override of a workflow is not in force; none when it is. */
  problemsOf(workflow: string): readonly string[] {
    return this.#problems.get(workflow) ?? [];
  }

  /**
   * Overrides the policy of a workflow from now on.
   *
   * @throws ChangeRefused where it does not fit; ConnectError ABORTED where there is another revision, UNAVAILABLE where it
   * cannot be stored
   */
  set(change: Change, policy: WorkflowPolicy): Promise<StoredOverride> {
    const { overrides, log } = this.#options;
    return this.#change(async () => {
      const { workflow, requestedBy, reason, call } = change;
      if (!this.#base.workflows.has(workflow)) {
        throw new ChangeRefused({ kind: "unknown", workflow });
      }
      this.#assertRevision(change);
      const others = overrides.list().filter((other) => other.workflow !== workflow);
      const inForce = others.filter((other) => !this.#problems.has(other.workflow));
      const problems = this.#problemsWith(this.#base, [...inForce, { workflow, policy }]);
      if (problems.length > 0) {
        throw new ChangeRefused({ kind: "invalid", problems });
      }
      const stored = await this.#stored(workflow, overrides.set(workflow, policy, requestedBy, reason));
      this.#serve(this.#base, [...inForce, stored]);
      this.#options.onServed();
      log.info(
        {
          workflow,
          requestedBy,
          reason,
          revision: stored.revision,
          policyRevision: this.#revisionOf(workflow),
          ...call,
        },
        "an operator overrides a policy",
      );
      await this.onChanged?.();
      return stored;
    });
  }

  /**
   * Takes the override of a workflow back; answers what it was.
   *
   * @throws ChangeRefused where there is none; ConnectError as `set`
   */
  delete(change: Change): Promise<StoredOverride> {
    const { overrides, log } = this.#options;
    return this.#change(async () => {
      const { workflow, requestedBy, reason, call } = change;
      const known = overrides.get(workflow);
      if (known === undefined) {
        throw new ChangeRefused({ kind: "unknown", workflow });
      }
      this.#assertRevision(change);
      await this.#stored(workflow, overrides.delete(workflow, requestedBy, reason));
      this.#serve(
        this.#base,
        overrides.list().filter((other) => !this.#problems.has(other.workflow)),
      );
      this.#options.onServed();
      log.info(
        { workflow, requestedBy, reason, policyRevision: this.#revisionOf(workflow), ...call },
        "an operator takes the override of a policy back",
      );
      await this.onChanged?.();
      return known;
    });
  }

  #change<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.#changing.then(change);
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  #revisionOf(workflow: string): string | undefined {
    return this.#options.contracts.workflows.get(workflow)?.policyRevision;
  }

  #assertRevision({ workflow, expectedRevision }: Change): void {
    const revision = this.#options.overrides.get(workflow)?.revision ?? 0;
    if (expectedRevision !== undefined && expectedRevision !== revision) {
      throw overrideChanged(
        workflow,
        `the override of ${workflow} is at revision ${revision}, and not at ${expectedRevision}`,
      );
    }
  }

  async #stored<T>(workflow: string, change: Promise<T>): Promise<T> {
    try {
      return await change;
    } catch (error) {
      if (error instanceof JournalUnavailableError) {
        throw journalUnavailable(error);
      }
      if (error instanceof JournalConflictError) {
        throw overrideChanged(workflow, `the override of ${workflow} has been changed by a call that was not answered`);
      }
      throw error;
    }
  }

  /** Rule 2: all of them if they fit together, else as many as do, those first that are in force. */
  #serve(base: ReadContracts, first: readonly StoredOverride[] = []): void {
    const { contracts, overrides, log } = this.#options;
    const names = new Set(first.map(({ workflow }) => workflow));
    const all = [...first, ...overrides.list().filter(({ workflow }) => !names.has(workflow))];
    const problems = new Map<string, readonly string[]>();
    const fitting: StoredOverride[] = [];
    if (this.#problemsWith(base, all).length === 0) {
      fitting.push(...all);
    } else {
      for (const override of all) {
        const found = this.#problemsWith(base, [...fitting, override]);
        if (found.length === 0) {
          fitting.push(override);
        } else {
          problems.set(override.workflow, found.map(sentence));
        }
      }
    }
    this.#base = base;
    contracts.replace(fitting.length === 0 ? base : overridePolicies(base, policiesOf(fitting)));
    for (const [workflow, reasons] of problems) {
      if (String(this.#problems.get(workflow)) !== String(reasons)) {
        log.warn(
          { workflow, problems: reasons },
          "an operator's override of a policy does not fit the contracts, and is not in force: set another, or delete it",
        );
      }
    }
    this.#problems = problems;
  }

  #problemsWith(base: ReadContracts, overrides: readonly Pick<StoredOverride, "workflow" | "policy">[]) {
    const unknown = overrides
      .filter(({ workflow }) => !base.workflows.has(workflow))
      .map(({ workflow }) => ({ where: workflow, message: "no contract has this workflow" }));
    try {
      const contracts = overridePolicies(base, policiesOf(overrides));
      return [...unknown, ...this.#options.problems(contracts)];
    } catch (error) {
      if (error instanceof ContractError) {
        return [...unknown, ...error.problems];
      }
      throw error;
    }
  }
}

function policiesOf(overrides: readonly Pick<StoredOverride, "workflow" | "policy">[]) {
  return new Map(overrides.map(({ workflow, policy }) => [workflow, policy]));
}

function sentence({ where, message }: ContractProblem): string {
  return `${where}: ${message}`;
}

function overrideChanged(workflow: string, what: string): ConnectError {
  return createError(
    Code.Aborted,
    "OVERRIDE_CHANGED",
    `${what}: read it again (ListPolicyOverrides), and decide anew`,
    { metadata: { workflow } },
  );
}
