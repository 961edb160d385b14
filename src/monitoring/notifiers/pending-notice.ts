import type { Clock, RandomSource } from "../../clock.ts";
import type { StreamAppend } from "../../runs/index.ts";
import { resolvedRetentionMs } from "../alerts/tracker.ts";
import { type Labels, seriesKey } from "../series/series.ts";
import type { EndedLabels, Notice } from "./notice.ts";
import { type NoticeState, noticeRecord, type Told } from "./notice-events.ts";
import type { Notifier } from "./notifier.ts";

export const noticesPrefix = "notices/";

/** Records of a stream before another one is begun with the newest of them. */
const longestStream = 200;

/** What a notifier is told anew, as it was, is stored no more often than that. */
const repeatStoredMs = 3_600_000;

/** What one notifier is to be told of one alert, and what it has been told, with a stream of its own. */
export class PendingNotice {
  wanted: Notice;
  acknowledgedUntilMs: number;
  mayBeTold: boolean;
  told: Told | undefined;
  repeatMs: number;
  /** Which alert it is about; unknown until that has been seen. */
  about: { readonly rule: string; readonly key: string } | undefined;
  /** Whether it is being told now. */
  sending = false;
  /** Appends with it that are not durable yet: until then it is told to nobody. */
  storing = 0;
  readonly #notifier: string;
  readonly #clock: Clock;
  readonly #random: RandomSource;
  #stream: string;
  #sequence: number;
  /** Of the monotonic clock, so that one that is set does not count. */
  #toldMonotonicMs = 0;
  #storedMonotonicMs = Number.NEGATIVE_INFINITY;
  /** When its end was told first. */
  #endedMonotonicMs = 0;
  /** Whether a notice that it fires was taken. */
  #taken: boolean;
  /** What it was told with before, for as long as an end is told. */
  #before: readonly EndedLabels[] = [];

  constructor(
    state: NoticeState,
    {
      notifier,
      clock,
      random,
      stored,
    }: {
      readonly notifier: string;
      readonly clock: Clock;
      readonly random: RandomSource;
      /** Where it was read from. Absent for one that is new. */
      readonly stored?: { readonly stream: string; readonly sequence: number };
    },
  ) {
    this.wanted = state.wanted;
    this.acknowledgedUntilMs = state.acknowledgedUntilMs;
    this.mayBeTold = state.mayBeTold;
    this.told = state.told;
    this.repeatMs = state.repeatMs;
    this.#notifier = notifier;
    this.#clock = clock;
    this.#random = random;
    this.#stream = stored?.stream ?? this.#newStream();
    this.#sequence = stored?.sequence ?? 0;
    this.#taken = state.mayBeTold && state.told !== undefined;
    if (state.told !== undefined) {
      this.#toldMonotonicMs = clock.monotonic() - Math.max(0, clock.now() - state.told.timeMs);
      this.#endedMonotonicMs = this.#toldMonotonicMs;
    }
  }

  get stream(): string {
    return this.#stream;
  }

  /** All of it for the journal, and the stream that this takes the place of, if it does. */
  append(): { readonly append: StreamAppend; readonly outgrown?: string } {
    const outgrown = this.#sequence >= longestStream ? this.#stream : undefined;
    if (outgrown !== undefined) this.renew();
    const expectedSequence = this.#sequence++;
    this.#storedMonotonicMs = this.#clock.monotonic();
    const append = { stream: this.#stream, expectedSequence, records: [noticeRecord(this, this.#clock.now())] };
    return { append, ...(outgrown !== undefined && { outgrown }) };
  }

  /** Begins another stream: the journal has refused something of this one. */
  renew(): void {
    this.#stream = this.#newStream();
    this.#sequence = 0;
  }

  /** Whether nothing is left to tell of it. */
  isDone({ heartbeatMs }: Pick<Notifier, "heartbeatMs">): boolean {
    if (this.wanted.status !== "resolved") return false;
    if (!this.mayBeTold) return true;
    if (this.told?.status !== "resolved") return false;
    // Whoever is told again and again may have forgotten it, or have another one beside that was away.
    return heartbeatMs === undefined || this.#clock.monotonic() - this.#endedMonotonicMs > resolvedRetentionMs;
  }

  /** Whether it is to be told now. */
  isDue(
    notifier: Pick<Notifier, "acknowledges" | "heartbeatMs">,
    isSilenced: (labels: Pick<Notice, "labels">) => boolean,
  ): boolean {
    const { wanted, told } = this;
    if (this.sending || this.storing > 0 || this.isDone(notifier)) return false;
    const { heartbeatMs } = notifier;
    const sinceMs = this.#clock.monotonic() - this.#toldMonotonicMs;
    const beats = heartbeatMs !== undefined && sinceMs >= heartbeatMs - repeatSlackMs;
    if (wanted.status === "resolved") return told?.status !== "resolved" || beats;
    // An Alertmanager takes what it does not hear of for over.
    if (isSilenced(wanted)) return told?.status === "firing" && beats;
    const acknowledged = heartbeatMs === undefined && this.#isAcknowledged;
    if (told === undefined || told.status === "resolved") return !acknowledged;
    if (told.severity !== wanted.severity) return !acknowledged || wanted.severity === "critical";
    if (acknowledged) return notifier.acknowledges && told.acknowledgedBy !== (wanted.acknowledgedBy ?? "");
    return beats || (heartbeatMs === undefined && sinceMs >= this.repeatMs - repeatSlackMs);
  }

  /** What is told of it: with the labels that it was told with once it is over, and as long as it is silenced. */
  notice(current: Notice | undefined, silenced: boolean): Notice {
    const { wanted, told } = this;
    const fires = wanted.status === "firing";
    const isNewest = fires && current?.status === "firing" && current.severity === wanted.severity;
    const { value, annotations, labels } = isNewest ? current : wanted;
    const asTold = told !== undefined && (!fires || (silenced && told.status === "firing"));
    const own: Notice = {
      ...{ ...wanted, value, annotations, labels },
      ...(asTold && { labels: told.labels, severity: told.severity }),
    };
    const nowMs = this.#clock.now();
    const before = this.#before.filter(({ endMs, labels: ended }) => {
      return Math.abs(nowMs - endMs) <= resolvedRetentionMs && !isSame(ended, own.labels);
    });
    if (told?.status === "firing" && !isSame(told.labels, own.labels)) {
      before.push({ labels: told.labels, endMs: nowMs });
    }
    return before.length > 0 ? { ...own, before } : own;
  }

  /** It was told, or refused; whether that has to be stored. */
  tell({ status, severity, labels, acknowledgedBy = "", before = [] }: Notice, refused = false): boolean {
    const last = this.told;
    this.#taken ||= !refused && status === "firing";
    // Who has taken nothing of it is not told its end, which would be refused as well.
    if (refused && !this.#taken) this.mayBeTold = false;
    this.told = { status, severity, labels, acknowledgedBy, timeMs: this.#clock.now() };
    this.#before = before;
    this.#toldMonotonicMs = this.#clock.monotonic();
    if (last?.status !== status) this.#endedMonotonicMs = this.#toldMonotonicMs;
    const isNews =
      last?.status !== status ||
      last.severity !== severity ||
      last.acknowledgedBy !== acknowledgedBy ||
      !isSame(last.labels, labels);
    return isNews || this.#toldMonotonicMs - this.#storedMonotonicMs >= repeatStoredMs;
  }

  get #isAcknowledged(): boolean {
    return this.wanted.acknowledgedBy !== undefined && this.#clock.now() < this.acknowledgedUntilMs;
  }

  #newStream(): string {
    const bytes = new Uint8Array(8);
    this.#random.fill(bytes);
    return `${noticesPrefix}${this.#notifier}/${this.wanted.fingerprint}/${Buffer.from(bytes).toString("hex")}`;
  }
}

/** It is looked after with each sample, each ten seconds: one that is nearly due is not left to the next one. */
const repeatSlackMs = 5_000;

function isSame(a: Labels, b: Labels): boolean {
  return seriesKey("", a) === seriesKey("", b);
}
