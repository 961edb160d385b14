import { create } from "@bufbuild/protobuf";
import { SilenceEventSchema } from "../../../gen/retake/v1/alert_event_pb.js";
import { type Silence, SilenceSchema } from "../../../gen/retake/v1/alert_pb.js";
import type { Clock } from "../../clock.ts";
import { type Journal, msFromTimestamp, StoredSettings, timestampFromMs } from "../../runs/index.ts";
import { type LabelTest, labelTest } from "../series/matcher.ts";
import type { Labels } from "../series/series.ts";
import { resolveMatchers } from "./resolve-rule.ts";

interface Known {
  readonly silence: Silence;
  readonly test: LabelTest;
  readonly startMs: number;
  readonly endMs: number;
  /** What has begun holds on when the clock is set back behind its beginning. */
  begun: boolean;
}

/** How long a silence that is over is listed. */
const listedMs = 24 * 3_600_000;

/** What is not told for a time, by the silences' ids, as `StoredSettings`. */
export class Silences {
  readonly #clock: Clock;
  readonly #all: StoredSettings<typeof SilenceEventSchema, Known>;

  constructor({ journal, clock }: { readonly journal: Journal; readonly clock: Clock }) {
    this.#clock = clock;
    this.#all = new StoredSettings({
      ...{ journal, clock, prefix: "silences/", schema: SilenceEventSchema },
      takesBack: ({ silence }) => silence === undefined,
      settingOf: (_, { silence, time }) => silence && known(silence, msFromTimestamp(time)),
    });
  }

  /** Reads what earlier processes have left. */
  open(): Promise<void> {
    return this.#all.open();
  }

  /** Those that hold, will, or did until lately, by their beginning. */
  list(): readonly Silence[] {
    return [...this.#all.list()].sort((a, b) => a.startMs - b.startMs).map(({ silence }) => silence);
  }

  /** The silences that hold for these labels now. */
  of(labels: Labels): readonly string[] {
    if (this.#all.size === 0) return [];
    const nowMs = this.#clock.now();
    return this.#all
      .list()
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
    // Also told of a matcher that makes no sense before anything is stored.
    known(silence, this.#clock.now());
    await this.#all.append(silence.silenceId, { silence });
    await this.#forget(this.#clock.now());
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

  async #forget(nowMs: number): Promise<void> {
    const old = this.#all.entries().filter(([, { endMs }]) => endMs + listedMs < nowMs);
    await this.#all.remove(old.map(([id]) => id));
  }
}

function known(silence: Silence, toldMs: number): Known {
  const startMs = msFromTimestamp(silence.startTime);
  return {
    silence,
    test: labelTest(resolveMatchers(silence.matchers)),
    startMs,
    endMs: msFromTimestamp(silence.endTime),
    begun: startMs <= toldMs,
  };
}
