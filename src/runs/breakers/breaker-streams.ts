import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type BreakerEvent, BreakerEventSchema } from "../../../gen/retake/v1/breaker_pb.js";
import type { Clock, RandomSource } from "../../clock.ts";
import type { Logger } from "../logger.ts";
import { streamsNamed } from "../named-streams.ts";
import type { Journal, JournalRecord } from "../ports/journal.ts";
import { newRunId } from "../run-id.ts";

export interface BreakerStreamsOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
}

/** The stream that a breaker writes at the moment. */
interface Stream {
  readonly name: string;
  sequence: number;
}

const prefix = "breaker/";
const pageSize = 500;

/** A breaker of a back-end that is away for long has two transitions each reset time-out, and trials, for weeks. */
const recordsPerStream = 1000;

/** Transitions that are remembered of each breaker. */
const remembered = 10;

/**
 * The transitions of breakers in the journal. The newest one of a breaker says all that holds, so its stream is replaced
 * by a new one now and then: the first record of that is durable before the old one is deleted.
 */
export class BreakerStreams {
  readonly #options: BreakerStreamsOptions;
  readonly #streams = new Map<string, Stream>();
  /** Appends and deletions that are under way. */
  readonly #pending = new Set<Promise<void>>();

  constructor(options: BreakerStreamsOptions) {
    this.#options = options;
  }

  /** The newest transitions of each breaker, the newest first. */
  async open(): Promise<ReadonlyMap<string, readonly BreakerEvent[]>> {
    const found = new Map<string, readonly BreakerEvent[]>();
    const old: string[] = [];
    for (const name of await this.#list()) {
      const workflow = name.slice(prefix.length, name.lastIndexOf("@"));
      const { events, sequence } = await this.#read(name);
      const known = this.#streams.get(workflow);
      // A crash may leave an old stream behind its successor.
      if (known !== undefined && generationOf(found.get(workflow)) > generationOf(events)) {
        old.push(name);
        continue;
      }
      if (known !== undefined) {
        old.push(known.name);
      }
      this.#streams.set(workflow, { name, sequence });
      found.set(workflow, events);
    }
    this.#delete(old);
    return found;
  }

  /** Resolves when the transition is durable, and rejects when that cannot be. Their order is that of the calls. */
  append(workflow: string, event: BreakerEvent): Promise<void> {
    const { journal, clock, random } = this.#options;
    const before = this.#streams.get(workflow);
    let stream = before;
    if (stream === undefined || stream.sequence >= recordsPerStream) {
      stream = { name: `${prefix}${workflow}@${newRunId(clock.now(), random)}`, sequence: 0 };
      this.#streams.set(workflow, stream);
    }
    const expectedSequence = stream.sequence++;
    const records = [toBinary(BreakerEventSchema, event)];
    const appended = journal.append([{ stream: stream.name, expectedSequence, records }]);
    this.#track(
      appended.then(() => {
        if (before !== undefined && before !== stream) {
          this.#delete([before.name]);
        }
      }),
      `a transition of the breaker of ${workflow} could not be stored; after a restart it is as it was before`,
    );
    return appended;
  }

  /** Nothing is kept of a breaker that nobody needs any more. */
  forget(workflow: string): void {
    const stream = this.#streams.get(workflow);
    if (stream !== undefined) {
      this.#streams.delete(workflow);
      this.#delete([stream.name]);
    }
  }

  /** Resolves when nothing is under way. */
  async settle(): Promise<void> {
    while (this.#pending.size > 0) {
      await Promise.all(this.#pending);
    }
  }

  async #list(): Promise<readonly string[]> {
    const names: string[] = [];
    for await (const name of streamsNamed(this.#options.journal, prefix)) {
      names.push(name);
    }
    return names;
  }

  async #read(name: string): Promise<{ readonly events: readonly BreakerEvent[]; readonly sequence: number }> {
    let events: readonly BreakerEvent[] = [];
    let sequence = 0;
    for (;;) {
      const records = await this.#options.journal.read(name, sequence, pageSize);
      sequence = records.at(-1)?.sequence ?? sequence;
      events = newestOf(records, events);
      if (records.length < pageSize) {
        return { events, sequence };
      }
    }
  }

  #delete(names: readonly string[]): void {
    if (names.length > 0) {
      this.#track(this.#options.journal.deleteStreams(names), "old transitions of breakers could not be deleted");
    }
  }

  #track(work: Promise<void>, problem: string): void {
    const tracked = work
      .catch((error: unknown) => this.#options.log.error({ err: error }, problem))
      .then(() => {
        this.#pending.delete(tracked);
      });
    this.#pending.add(tracked);
  }
}

/** The transitions with one more, the newest first. */
export function withTransition(events: readonly BreakerEvent[], event: BreakerEvent): readonly BreakerEvent[] {
  return [event, ...events.slice(0, remembered - 1)];
}

/** The newest transitions, the newest first: those before, and what later records say. */
function newestOf(records: readonly JournalRecord[], before: readonly BreakerEvent[]): readonly BreakerEvent[] {
  const newest: BreakerEvent[] = [];
  const add = (event: BreakerEvent): void => {
    // Of a generation the last record holds: it may have been stored again since.
    if (newest.length < remembered && newest.at(-1)?.generation !== event.generation) {
      newest.push(event);
    }
  };
  for (let index = records.length - 1; index >= 0 && newest.length < remembered; index--) {
    const record = records[index];
    if (record !== undefined) {
      add(fromBinary(BreakerEventSchema, record.data));
    }
  }
  before.forEach(add);
  return newest;
}

function generationOf(events: readonly BreakerEvent[] | undefined): bigint {
  return events?.[0]?.generation ?? -1n;
}
