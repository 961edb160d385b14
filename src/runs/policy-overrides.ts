import type { WorkflowPolicy } from "../../gen/retake/v1/options_pb.js";
import { PolicyOverrideEventSchema } from "../../gen/retake/v1/policy_override_pb.js";
import type { Clock } from "../clock.ts";
import type { Journal } from "./ports/journal.ts";
import { StoredSettings } from "./stored-settings.ts";
import { msFromTimestamp } from "./time.ts";

/** What an operator has set, as the journal has it. */
export interface StoredOverride {
  readonly workflow: string;
  readonly policy: WorkflowPolicy;
  /** Higher with each change of its workflow. */
  readonly revision: number;
  readonly setBy: string;
  readonly setMs: number;
  readonly reason: string;
}

/** What operators override of workflows' policies at run time, as `StoredSettings`. */
export class PolicyOverrides {
  readonly #stored: StoredSettings<typeof PolicyOverrideEventSchema, StoredOverride>;

  constructor({ journal, clock }: { readonly journal: Journal; readonly clock: Clock }) {
    this.#stored = new StoredSettings({
      ...{ journal, clock, prefix: "policy/", schema: PolicyOverrideEventSchema },
      takesBack: ({ event }) => event.case === "deleted",
      settingOf: (workflow, { event, time }, revision) => {
        if (event.case !== "set" || event.value.policy === undefined) return undefined;
        const { policy, requestedBy, reason } = event.value;
        return { workflow, policy, revision, setBy: requestedBy, setMs: msFromTimestamp(time), reason };
      },
    });
  }

  get(workflow: string): StoredOverride | undefined {
    return this.#stored.get(workflow);
  }

  /** In the order in which they were set. */
  list(): readonly StoredOverride[] {
    return [...this.#stored.list()].sort((a, b) => a.setMs - b.setMs || (a.workflow < b.workflow ? -1 : 1));
  }

  /** Reads what earlier processes have left. */
  open(): Promise<void> {
    return this.#stored.open();
  }

  /** @throws JournalUnavailableError, JournalConflictError */
  async set(workflow: string, policy: WorkflowPolicy, requestedBy: string, reason: string): Promise<StoredOverride> {
    const stored = await this.#stored.append(workflow, {
      event: { case: "set", value: { policy, requestedBy, reason } },
    });
    return stored as StoredOverride;
  }

  /** @throws JournalUnavailableError, JournalConflictError */
  async delete(workflow: string, requestedBy: string, reason: string): Promise<void> {
    await this.#stored.append(workflow, { event: { case: "deleted", value: { requestedBy, reason } } });
  }
}
