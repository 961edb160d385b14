import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { WorkflowPolicy } from "../../gen/retake/v1/options_pb.js";
import { type PolicyOverrideEvent, PolicyOverrideEventSchema } from "../../gen/retake/v1/policy_override_pb.js";
import type { Clock } from "../clock.ts";
import { recordsOf, streamsNamed } from "./named-streams.ts";
import { type Journal, JournalConflictError } from "./ports/journal.ts";
import { eventTimeMs, msFromTimestamp, timestampFromMs } from "./time.ts";

/** What an operator has set, as the journal has it. */
export interface StoredOverride {
  readonly workflow: string;
  readonly policy: WorkflowPolicy;
  /** The number of its record in the stream of its workflow. */
  readonly revision: number;
  readonly setBy: string;
  readonly setMs: number;
  readonly reason: string;
}

const prefix = "policy/";

/**
 * What operators override of workflows' policies at run time, each workflow with a stream of its own in the journal.
 * Nobody is told of a change before it is durable. Changes of one workflow must come one after the other.
 */
export class PolicyOverrides {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #overrides = new Map<string, StoredOverride>();
  /** The number of the newest record of each stream. */
  readonly #revisions = new Map<string, number>();

  constructor({ journal, clock }: { readonly journal: Journal; readonly clock: Clock }) {
    this.#journal = journal;
    this.#clock = clock;
  }

  get(workflow: string): StoredOverride | undefined {
    return this.#overrides.get(workflow);
  }

  /** In the order in which they were set. */
  list(): readonly StoredOverride[] {
    return [...this.#overrides.values()].sort((a, b) => a.setMs - b.setMs || (a.workflow < b.workflow ? -1 : 1));
  }

  /** Reads what earlier processes have left. */
  async open(): Promise<void> {
    for await (const stream of streamsNamed(this.#journal, prefix)) {
      await this.#read(stream);
    }
  }

  /** @throws JournalUnavailableError */
  async set(workflow: string, policy: WorkflowPolicy, requestedBy: string, reason: string): Promise<StoredOverride> {
    await this.#append(workflow, {
      case: "set",
      value: { $typeName: "retake.v1.PolicyOverrideSet", policy, requestedBy, reason },
    });
    return this.#overrides.get(workflow) as StoredOverride;
  }

  /** @throws JournalUnavailableError */
  async delete(workflow: string, requestedBy: string, reason: string): Promise<void> {
    await this.#append(workflow, {
      case: "deleted",
      value: { $typeName: "retake.v1.PolicyOverrideDeleted", requestedBy, reason },
    });
  }

  async #append(workflow: string, event: PolicyOverrideEvent["event"]): Promise<void> {
    const nowMs = eventTimeMs(this.#clock.now());
    const expectedSequence = this.#revisions.get(workflow) ?? 0;
    const record = create(PolicyOverrideEventSchema, { time: timestampFromMs(nowMs), event });
    const stream = `${prefix}${workflow}`;
    const records = [toBinary(PolicyOverrideEventSchema, record)];
    try {
      await this.#journal.append([{ stream, expectedSequence, records }], { impatient: true });
    } catch (error) {
      if (error instanceof JournalConflictError) {
        // A change that was answered as lost has been stored after all.
        await this.#read(stream);
      }
      throw error;
    }
    this.#apply(workflow, expectedSequence + 1, record);
  }

  #apply(workflow: string, revision: number, { event, time }: PolicyOverrideEvent): void {
    this.#revisions.set(workflow, revision);
    if (event.case === "set" && event.value.policy !== undefined) {
      const { policy, requestedBy, reason } = event.value;
      const setMs = msFromTimestamp(time);
      this.#overrides.set(workflow, { workflow, policy, revision, setBy: requestedBy, setMs, reason });
    } else {
      this.#overrides.delete(workflow);
    }
  }

  async #read(stream: string): Promise<void> {
    const workflow = stream.slice(prefix.length);
    for await (const { sequence, data } of recordsOf(this.#journal, stream)) {
      this.#apply(workflow, sequence, fromBinary(PolicyOverrideEventSchema, data));
    }
  }
}
