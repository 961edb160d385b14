import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Clock } from "../clock.ts";
import { recordsOf, streamsNamed } from "./named-streams.ts";
import { type Journal, JournalConflictError } from "./ports/journal.ts";
import { eventTimeMs, timestampFromMs } from "./time.ts";

export interface StoredSettingsOptions<Desc extends DescMessage, Setting> {
  readonly journal: Journal;
  readonly clock: Clock;
  /** Of the names of the streams, up to what they set. */
  readonly prefix: string;
  /** What the records are. They have a field `time`. */
  readonly schema: Desc;
  /** What a record says from then on; nothing where it takes the setting back. `revision` is its number in its stream. */
  readonly settingOf: (name: string, event: MessageShape<Desc>, revision: number) => Setting | undefined;
}

/**
 * What people set while the server runs, by name, each name with a stream of its own in the journal. None is in force
 * before it is durable. Changes of one name must come one after the other.
 */
export class StoredSettings<Desc extends DescMessage, Setting> {
  readonly #options: StoredSettingsOptions<Desc, Setting>;
  readonly #settings = new Map<string, Setting>();
  /** The number of the newest record of each stream. */
  readonly #revisions = new Map<string, number>();

  constructor(options: StoredSettingsOptions<Desc, Setting>) {
    this.#options = options;
  }

  get size(): number {
    return this.#settings.size;
  }

  get(name: string): Setting | undefined {
    return this.#settings.get(name);
  }

  entries(): readonly (readonly [name: string, setting: Setting])[] {
    return [...this.#settings];
  }

  list(): readonly Setting[] {
    return [...this.#settings.values()];
  }

  /** Reads what earlier processes have left. */
  async open(): Promise<void> {
    const { journal, prefix } = this.#options;
    for await (const stream of streamsNamed(journal, prefix)) {
      await this.#read(stream.slice(prefix.length));
    }
  }

  /**
   * Stores a record, and answers what holds from then on.
   *
   * @throws JournalUnavailableError
   * @throws JournalConflictError where an earlier change has been stored that was answered as lost; it holds then
   */
  async append(name: string, event: MessageInitShape<Desc>): Promise<Setting | undefined> {
    const { journal, clock, prefix, schema } = this.#options;
    const time: Timestamp = timestampFromMs(eventTimeMs(clock.now()));
    const record = create(schema, { ...event, time } as MessageInitShape<Desc>);
    const expectedSequence = this.#revisions.get(name) ?? 0;
    const append = { stream: `${prefix}${name}`, expectedSequence, records: [toBinary(schema, record)] };
    try {
      await journal.append([append], { impatient: true });
    } catch (error) {
      if (error instanceof JournalConflictError) await this.#read(name);
      throw error;
    }
    this.#apply(name, record, expectedSequence + 1);
    return this.#settings.get(name);
  }

  /** Removes settings with all that the journal has of them. @throws JournalUnavailableError */
  async remove(names: readonly string[]): Promise<void> {
    for (const name of names) {
      this.#settings.delete(name);
      this.#revisions.delete(name);
    }
    if (names.length > 0)
      await this.#options.journal.deleteStreams(names.map((name) => `${this.#options.prefix}${name}`));
  }

  #apply(name: string, event: MessageShape<Desc>, revision: number): void {
    this.#revisions.set(name, revision);
    const setting = this.#options.settingOf(name, event, revision);
    if (setting === undefined) this.#settings.delete(name);
    else this.#settings.set(name, setting);
  }

  async #read(name: string): Promise<void> {
    const { journal, prefix, schema } = this.#options;
    for await (const { sequence, data } of recordsOf(journal, `${prefix}${name}`)) {
      this.#apply(name, fromBinary(schema, data), sequence);
    }
  }
}
