import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { SilenceEventSchema } from "../../../gen/retake/v1/alert_event_pb.js";
import { type Silence, SilenceSchema } from "../../../gen/retake/v1/alert_pb.js";
import type { Clock } from "../../clock.ts";
import { type Journal, msFromTimestamp, recordsOf, streamsNamed, timestampFromMs } from "../../runs/index.ts";
import { type LabelTest, labelTest } from "../series/matcher.ts";
import type { Labels } from "../series/series.ts";
import { resolveMatchers } from "./resolve-rule.ts";

interface Known {
  readonly silence: Silence;
  readonly test: LabelTest;
  readonly startMs: number;
  readonly endMs: number;
  readonly sequence: number;
  /** What has begun holds on when the clock is set back behind its beginning. */
  begun: boolean;
}

const prefix = "silences/";

/** How long a silence that is over is listed. */
const listedMs = 24 * 3_600_000;

/** What is not told for a time, each silence with a stream of its own in the journal. */
export class Silences {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #all = new Map<string, Known>();

  constructor({ journal, clock }: { readonly journal: Journal; readonly clock: Clock }) {
    this.#journal = journal;
    this.#clock = clock;
  }

  /** Reads what earlier processes have left. */
  async open(): Promise<void> {
    for await (const stream of streamsNamed(this.#journal, prefix)) {
      for await (const { sequence, data } of recordsOf(this.#journal, stream)) {
        const { silence, time } = fromBinary(SilenceEventSchema, data);
        if (silence !== undefined) this.#all.set(silence.silenceId, known(silence, sequence, msFromTimestamp(time)));
      }
    }
  }

  /** Those that hold, will, or did until lately, by their beginning. */
  list(): readonly Silence[] {
    return [...this.#all.values()].sort((a, b) => a.startMs - b.startMs).map(({ silence }) => silence);
  }

  /** The silences that hold for these labels now. */
  of(labels: Labels): readonly string[] {
    if (this.#all.size === 0) return [];
    const nowMs = this.#clock.now();
    return [...this.#all.values()]
      .filter((known) => {
        known.begun ||= known.startMs <= nowMs;
        return known.begun && nowMs < known.endMs && known.test(labels);
      })
      .map(({ silence }) => silence.silenceId);
  }

  get(silenceId: string): Silence | undefined {
    return this.#all.get(silenceId)?.silence;
  }

  /**
   * Sets a silence, in place of the one of that id if there is one.
   *
   * @throws TypeError for a matcher that is no regular expression
   * @throws JournalUnavailableError
   */
  async set(silence: Silence): Promise<void> {
    const nowMs = this.#clock.now();
    const expectedSequence = this.#all.get(silence.silenceId)?.sequence ?? 0;
    const next = known(silence, expectedSequence + 1, nowMs);
    await this.#append(silence, expectedSequence, nowMs);
    this.#all.set(silence.silenceId, next);
    await this.#forget(nowMs);
  }

  /**
   * Ends a silence now; one that is over stays as it is. Whether there is one of that id.
   *
   * @throws JournalUnavailableError
   */
  async expire(silenceId: string): Promise<boolean> {
    const found = this.#all.get(silenceId);
    if (found === undefined) return false;
    const nowMs = this.#clock.now();
    if (found.endMs <= nowMs) return true;
    const endTime = timestampFromMs(nowMs);
    const startTime = timestampFromMs(Math.min(found.startMs, nowMs));
    await this.set(create(SilenceSchema, { ...found.silence, startTime, endTime }));
    return true;
  }

  async #append(silence: Silence, expectedSequence: number, nowMs: number): Promise<void> {
    const record = toBinary(SilenceEventSchema, create(SilenceEventSchema, { time: timestampFromMs(nowMs), silence }));
    const stream = `${prefix}${silence.silenceId}`;
    await this.#journal.append([{ stream, expectedSequence, records: [record] }], { impatient: true });
  }

  async #forget(nowMs: number): Promise<void> {
    const old = [...this.#all].filter(([, { endMs }]) => endMs + listedMs < nowMs).map(([id]) => id);
    for (const id of old) this.#all.delete(id);
    if (old.length > 0) await this.#journal.deleteStreams(old.map((id) => `${prefix}${id}`));
  }
}

function known(silence: Silence, sequence: number, toldMs: number): Known {
  const startMs = msFromTimestamp(silence.startTime);
  return {
    silence,
    sequence,
    test: labelTest(resolveMatchers(silence.matchers)),
    startMs,
    endMs: msFromTimestamp(silence.endTime),
    begun: startMs <= toldMs,
  };
}
