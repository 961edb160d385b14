import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ApiKeyEventSchema } from "../../../gen/retake/v1/api_key_pb.js";
import type { Clock, Timer } from "../../clock.ts";
import {
  type Journal,
  type Logger,
  msFromTimestamp,
  recordsOf,
  streamsNamed,
  timestampFromMs,
} from "../../runs/index.ts";

const prefix = "api-key-use/";

/** How long uses may wait until they are stored together: one append for all keys, however many calls there are. */
const flushAfterMs = 5 * 60_000;

/** After that many records a new stream begins with all that is known, and the old one is deleted. */
const longestStream = 200;

export interface KeyUsesOptions {
  readonly journal: Pick<Journal, "append" | "read" | "listStreams" | "deleteStreams">;
  readonly clock: Clock;
  readonly log: Logger;
}

/** When keys were used last, kept in the journal at a bounded rate and in bounded space. */
export class KeyUses {
  readonly #options: KeyUsesOptions;
  readonly #all = new Map<string, number>();
  #changed = new Map<string, number>();
  /** The number of the stream that is written to. */
  #stream = 0;
  #sequence = 0;
  #timer: Timer | undefined;
  #flushing: Promise<void> = Promise.resolve();

  constructor(options: KeyUsesOptions) {
    this.#options = options;
  }

  /** Reads what earlier processes have left, and returns it. */
  async open(): Promise<ReadonlyMap<string, number>> {
    const { journal } = this.#options;
    const streams: string[] = [];
    for await (const stream of streamsNamed(journal, prefix)) streams.push(stream);
    streams.sort((a, b) => numberOf(a) - numberOf(b));
    for (const stream of streams) {
      this.#stream = numberOf(stream);
      this.#sequence = 0;
      for await (const { sequence, data } of recordsOf(journal, stream)) {
        this.#sequence = sequence;
        const { event } = fromBinary(ApiKeyEventSchema, data);
        if (event.case !== "used") continue;
        for (const [id, time] of Object.entries(event.value.useTimes)) this.#all.set(id, msFromTimestamp(time));
      }
    }
    // A crash may have left the one before. A deletion waits for as long as the storage fails, and no start for it.
    if (streams.length > 1) void journal.deleteStreams(streams.slice(0, -1)).catch(() => undefined);
    return this.#all;
  }

  note(id: string, atMs: number): void {
    this.#all.set(id, atMs);
    this.#changed.set(id, atMs);
    this.#timer ??= this.#options.clock.setTimeout(() => void this.#flush(), flushAfterMs);
  }

  forget(id: string): void {
    this.#all.delete(id);
    this.#changed.delete(id);
  }

  /** Stores what is not stored yet. */
  close(): Promise<void> {
    return this.#flush();
  }

  #flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#flushing = this.#flushing.then(() => this.#store());
    return this.#flushing;
  }

  async #store(): Promise<void> {
    const changed = this.#changed;
    if (changed.size === 0) return;
    this.#changed = new Map();
    const { journal, log } = this.#options;
    const anew = this.#sequence === 0 || this.#sequence >= longestStream;
    const number = anew ? this.#stream + 1 : this.#stream;
    const sequence = anew ? 0 : this.#sequence;
    const append = {
      stream: `${prefix}${number}`,
      expectedSequence: sequence,
      records: [this.#record(anew ? this.#all : changed)],
    };
    try {
      await journal.append([append], { impatient: true });
    } catch (error) {
      // They go with the next ones: it is no reason to refuse calls.
      log.warn({ err: error }, "when API keys were used last could not be stored");
      for (const [id, atMs] of changed) if (!this.#changed.has(id)) this.#changed.set(id, atMs);
      return;
    }
    const old = this.#stream;
    this.#stream = number;
    this.#sequence = sequence + 1;
    if (anew && old > 0) {
      await journal
        .deleteStreams([`${prefix}${old}`])
        .catch((error: unknown) => log.warn({ err: error }, "old uses of API keys could not be deleted"));
    }
  }

  #record(uses: ReadonlyMap<string, number>): Uint8Array {
    const useTimes = Object.fromEntries([...uses].map(([id, atMs]) => [id, timestampFromMs(atMs)]));
    return toBinary(
      ApiKeyEventSchema,
      create(ApiKeyEventSchema, {
        time: timestampFromMs(this.#options.clock.now()),
        event: { case: "used", value: { useTimes } },
      }),
    );
  }
}

function numberOf(stream: string): number {
  return Number(stream.slice(prefix.length));
}
