import type { Clock, RandomSource } from "../../clock.ts";
import type { StreamAppend } from "../../runs/index.ts";
import type { Notice } from "./notice.ts";
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
  /** Whether a notice that it fires was taken. */
  #taken: boolean;

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
  get isDone(): boolean {
    return this.wanted.status === "resolved" && (!this.mayBeTold || this.told?.status === "resolved");
  }

  /** Whether it is to be told now. */
  isDue(notifier: Pick<Notifier, "acknowledges" | "heartbeatMs">, isSilenced: (notice: Notice) => boolean): boolean {
    const { wanted, told } = this;
    if (this.sending || this.storing > 0 || this.isDone) return false;
    if (wanted.status === "resolved") return true;
    if (isSilenced(wanted)) return false;
    const { heartbeatMs } = notifier;
    // An Alertmanager takes what it does not hear of for over.
    const acknowledged = heartbeatMs === undefined && this.#isAcknowledged;
    if (told === undefined || told.status === "resolved") return !acknowledged;
    if (told.severity !== wanted.severity) return !acknowledged || wanted.severity === "critical";
    if (acknowledged) return notifier.acknowledges && told.acknowledgedBy !== (wanted.acknowledgedBy ?? "");
    return this.#clock.monotonic() - this.#toldMonotonicMs >= (heartbeatMs ?? this.repeatMs) - repeatSlackMs;
  }

  /** It was told, or refused; whether that has to be stored. */
  tell({ status, severity, acknowledgedBy = "" }: Notice, refused = false): boolean {
    const before = this.told;
    this.#taken ||= !refused && status === "firing";
    // Who has taken nothing of it is not told its end, which would be refused as well.
    if (refused && !this.#taken) this.mayBeTold = false;
    this.told = { status, severity, acknowledgedBy, timeMs: this.#clock.now() };
    this.#toldMonotonicMs = this.#clock.monotonic();
    const isNews =
      before?.status !== status || before.severity !== severity || before.acknowledgedBy !== acknowledgedBy;
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
