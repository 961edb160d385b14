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
  /** Whether a record takes the setting back. */
  readonly takesBack: (event: MessageShape<Desc>) => boolean;
  /** What a record says from then on, if anything. `revision` grows with each record of a name. */
  readonly settingOf: (name: string, event: MessageShape<Desc>, revision: number) => Setting | undefined;
}

/** A stream with as many records is followed by another one. */
const longestStream = 100;

interface Stream {
  readonly name: string;
  /** The revision before its first record. */
  readonly base: number;
}

interface Position extends Stream {
  /** The number of the newest record. */
  readonly sequence: number;
  readonly takenBack: boolean;
}

/**
 * What people set while the server runs, by name, each name with a stream of its own in the journal. None is in force
 * before it is durable.
 *
 * 1. Only the newest record of a name counts. A stream that has become long is followed by one that begins with it.
 * 2. No revision of a name comes twice, also when it was deleted meanwhile. All that were taken back share one record, in
 *    the stream of no name, whose base is the highest of their revisions: names that are new go on from there. It is
 *    stored together with the one that takes a setting back; what is then not needed any more is deleted.
 */
export class StoredSettings<Desc extends DescMessage, Setting> {
  readonly #options: StoredSettingsOptions<Desc, Setting>;
  readonly #settings = new Map<string, Setting>();
  readonly #positions = new Map<string, Position>();
  #outgrown: Stream[] = [];
  #changing: Promise<unknown> = Promise.resolve();

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
    for await (const stored of streamsNamed(journal, prefix)) {
      const stream = parseStream(stored.slice(prefix.length));
      for await (const { sequence, data } of recordsOf(journal, stored)) {
        this.#apply(stream, sequence, fromBinary(this.#options.schema, data));
      }
    }
    this.#deleteOutgrown();
  }

  /**
   * Stores a record, and answers what holds from then on.
   *
   * @throws JournalUnavailableError
   * @throws JournalConflictError where an earlier change has been stored that was answered as lost; it holds then
   */
  append(name: string, event: MessageInitShape<Desc>): Promise<Setting | undefined> {
    const changed = this.#changing.then(() => this.#append(name, event));
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  /** Removes settings with all that the journal has of them. @throws JournalUnavailableError */
  async remove(names: readonly string[]): Promise<void> {
    const streams = names.flatMap((name) => this.#positions.get(name) ?? []);
    for (const name of names) {
      this.#settings.delete(name);
      this.#positions.delete(name);
    }
    if (streams.length > 0) await this.#options.journal.deleteStreams(streams.map((each) => this.#nameOf(each)));
  }

  /** What the names of those that were taken back have come to. */
  get #floor(): number {
    return this.#positions.get("")?.base ?? 0;
  }

  async #append(name: string, event: MessageInitShape<Desc>): Promise<Setting | undefined> {
    const { journal, clock, schema, takesBack } = this.#options;
    const time: Timestamp = timestampFromMs(eventTimeMs(clock.now()));
    const record = create(schema, { ...event, time } as MessageInitShape<Desc>);
    const records = [toBinary(schema, record)];
    const known = this.#positions.get(name) ?? { name, base: this.#floor, sequence: 0 };
    const stream = known.sequence < longestStream ? known : { name, base: revisionOf(known), sequence: 0 };
    const revision = revisionOf(stream) + 1;
    const floor = { name: "", base: revision, sequence: 0 };
    const streams = takesBack(record) && revision > this.#floor ? [stream, floor] : [stream];
    const appends = streams.map((each) => ({ stream: this.#nameOf(each), expectedSequence: each.sequence, records }));
    try {
      await journal.append(appends, { impatient: true });
    } catch (error) {
      if (error instanceof JournalConflictError) await this.open();
      throw error;
    }
    for (const each of streams) this.#apply(each, each.sequence + 1, record);
    this.#deleteOutgrown();
    return this.#settings.get(name);
  }

  #apply(stream: Stream, sequence: number, event: MessageShape<Desc>): void {
    const { name, base } = stream;
    const known = this.#positions.get(name);
    if (known !== undefined && known.base !== base) this.#outgrown.push(known.base < base ? known : stream);
    if (known !== undefined && known.base > base) return;
    const takenBack = this.#options.takesBack(event);
    this.#positions.set(name, { name, base, sequence, takenBack });
    const setting = takenBack ? undefined : this.#options.settingOf(name, event, base + sequence);
    if (setting === undefined) this.#settings.delete(name);
    else this.#settings.set(name, setting);
  }

  /** Nobody waits for it: what is left when it fails goes at the next start. */
  #deleteOutgrown(): void {
    for (const position of this.#positions.values()) {
      if (position.name !== "" && position.takenBack && revisionOf(position) <= this.#floor) {
        this.#positions.delete(position.name);
        this.#outgrown.push(position);
      }
    }
    const names = new Set(this.#outgrown.map((each) => this.#nameOf(each)));
    this.#outgrown = [];
    if (names.size > 0) this.#options.journal.deleteStreams([...names]).catch(() => undefined);
  }

  #nameOf({ name, base }: Stream): string {
    return `${this.#options.prefix}${name}${base === 0 ? "" : `${baseMark}${base}`}`;
  }
}

/** What no name has. */
const baseMark = "#";

function parseStream(stored: string): Stream {
  const [name = "", base = "0"] = stored.split(baseMark);
  return { name, base: Number(base) };
}

function revisionOf({ base, sequence }: Pick<Position, "base" | "sequence">): number {
  return base + sequence;
}
