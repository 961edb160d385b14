import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type AccessRule, type AccessRuleEvent, AccessRuleEventSchema } from "../../../gen/retake/v1/access_rule_pb.js";
import type { Clock } from "../../clock.ts";
import {
  eventTimeMs,
  type Journal,
  JournalConflictError,
  msFromTimestamp,
  recordsOf,
  streamsNamed,
  timestampFromMs,
} from "../../runs/index.ts";

/** A rule that an operator has set, as the journal has it. */
export interface StoredRule {
  readonly name: string;
  readonly rule: AccessRule;
  /** The number of its record in its stream. */
  readonly revision: number;
  readonly setBy: string;
  readonly setMs: number;
  readonly reason: string;
}

const prefix = "access/";

/**
 * The access rules that operators set while the server runs, each with a stream of its own in the journal. None is in
 * force before it is durable. Changes must come one after the other.
 */
export class StoredRules {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #rules = new Map<string, StoredRule>();
  /** The number of the newest record of each stream. */
  readonly #revisions = new Map<string, number>();

  constructor({ journal, clock }: { readonly journal: Journal; readonly clock: Clock }) {
    this.#journal = journal;
    this.#clock = clock;
  }

  get(name: string): StoredRule | undefined {
    return this.#rules.get(name);
  }

  list(): readonly StoredRule[] {
    return [...this.#rules.values()];
  }

  /** Reads what earlier processes have left. */
  async open(): Promise<void> {
    for await (const stream of streamsNamed(this.#journal, prefix)) {
      await this.#read(stream);
    }
  }

  /** @throws JournalUnavailableError, JournalConflictError */
  async set(name: string, rule: AccessRule, requestedBy: string, reason: string): Promise<StoredRule> {
    await this.#append(name, {
      case: "set",
      value: { $typeName: "retake.v1.AccessRuleSet", rule, requestedBy, reason },
    });
    return this.#rules.get(name) as StoredRule;
  }

  /** @throws JournalUnavailableError, JournalConflictError */
  async delete(name: string, requestedBy: string, reason: string): Promise<void> {
    await this.#append(name, {
      case: "deleted",
      value: { $typeName: "retake.v1.AccessRuleDeleted", requestedBy, reason },
    });
  }

  async #append(name: string, event: AccessRuleEvent["event"]): Promise<void> {
    const nowMs = eventTimeMs(this.#clock.now());
    const expectedSequence = this.#revisions.get(name) ?? 0;
    const record = create(AccessRuleEventSchema, { time: timestampFromMs(nowMs), event });
    const stream = `${prefix}${name}`;
    const records = [toBinary(AccessRuleEventSchema, record)];
    try {
      await this.#journal.append([{ stream, expectedSequence, records }], { impatient: true });
    } catch (error) {
      if (error instanceof JournalConflictError) {
        // A change that was answered as lost has been stored after all.
        await this.#read(stream);
      }
      throw error;
    }
    this.#apply(name, expectedSequence + 1, record);
  }

  #apply(name: string, revision: number, { event, time }: AccessRuleEvent): void {
    this.#revisions.set(name, revision);
    if (event.case === "set" && event.value.rule !== undefined) {
      const { rule, requestedBy, reason } = event.value;
      this.#rules.set(name, { name, rule, revision, setBy: requestedBy, setMs: msFromTimestamp(time), reason });
    } else {
      this.#rules.delete(name);
    }
  }

  async #read(stream: string): Promise<void> {
    const name = stream.slice(prefix.length);
    for await (const { sequence, data } of recordsOf(this.#journal, stream)) {
      this.#apply(name, sequence, fromBinary(AccessRuleEventSchema, data));
    }
  }
}
