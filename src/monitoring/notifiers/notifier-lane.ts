import { createHash } from "node:crypto";
import type { Clock, RandomSource, Timer } from "../../clock.ts";
import { backoffMs, type Logger } from "../../runs/index.ts";
import type { Notice } from "./notice.ts";
import type { Notifier, SendOutcome } from "./notifier.ts";
import type { PendingNotice } from "./pending-notice.ts";

export interface NotifierLaneOptions {
  readonly notifier: Notifier;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
  readonly isSilenced: (notice: Pick<Notice, "labels">) => boolean;
  /** What is told of it now. */
  readonly noticeOf: (pending: PendingNotice) => Notice;
  /** What is about to be told is stored first, if it was not meant to be until now. */
  readonly store: (notices: readonly PendingNotice[]) => Promise<void>;
  /** They were told that, or it would never be taken. */
  readonly settled: (told: readonly (readonly [PendingNotice, Notice])[], refused: boolean) => void;
  readonly onOutcome: (outcome: SendOutcome["kind"]) => void;
}

const backoff = { initialBackoffMs: 1_000, maxBackoffMs: 60_000, backoffMultiplier: 2 };

/** After so many failures in a row the notifier is left alone for a while, and then has one trial at a time. */
const failuresUntilPause = 5;
const pauseMs = 60_000;

/**
 * Tells one notifier what there is to tell, one message at a time: what is critical and new first. Of each alert only the
 * newest is told, so that a notifier that was away hears what is, not what was.
 */
export class NotifierLane {
  readonly notifier: Notifier;
  /** By fingerprint. */
  readonly pending = new Map<string, PendingNotice>();
  readonly #options: NotifierLaneOptions;
  readonly #stop = new AbortController();
  #sending: Promise<void> | undefined;
  #timer: Timer | undefined;
  #failures = 0;
  /** By the monotonic clock. */
  #notBeforeMs = 0;
  /** When the next message would be due if all that may be sent in a minute were sent evenly. */
  #theoreticalMs = Number.NEGATIVE_INFINITY;
  /** One that was refused is told alone, so that the others are not refused with it. */
  #oneByOne = false;

  constructor(options: NotifierLaneOptions) {
    this.notifier = options.notifier;
    this.#options = options;
  }

  /** Sends what is due, if nothing is being sent. */
  pump(): void {
    if (this.#sending !== undefined || this.#stop.signal.aborted) return;
    const { clock } = this.#options;
    this.#timer?.cancel();
    const batch = this.#batch();
    if (batch.length === 0) return;
    const waitMs = Math.max(this.#notBeforeMs, this.#allowedMs()) - clock.monotonic();
    if (waitMs > 0) {
      this.#timer = clock.setTimeout(() => this.pump(), waitMs);
      return;
    }
    this.#sending = this.#send(batch).finally(() => {
      this.#sending = undefined;
      this.pump();
    });
  }

  /** Begins no more messages, gives the one up that is under way, and resolves when it has ended. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error("the server stops"));
    this.#timer?.cancel();
    await this.#sending;
  }

  #batch(): PendingNotice[] {
    const { notifier, isSilenced } = this.#options;
    const due = [...this.pending.values()].filter((notice) => notice.isDue(notifier, isSilenced));
    const [first] = due.sort((a, b) => urgency(b) - urgency(a));
    if (first === undefined) return [];
    const group = notifier.groupOf?.(first.wanted);
    return due
      .filter(({ wanted }) => group === undefined || notifier.groupOf?.(wanted) === group)
      .slice(0, this.#oneByOne ? 1 : notifier.most);
  }

  #hasMore(batch: readonly PendingNotice[]): boolean {
    const { notifier, isSilenced } = this.#options;
    return [...this.pending.values()].some((each) => !batch.includes(each) && each.isDue(notifier, isSilenced));
  }

  /** When one more message may be sent (GCRA, a minute's worth at once). */
  #allowedMs(): number {
    return this.#theoreticalMs - 60_000 + 60_000 / this.notifier.maxPerMinute;
  }

  async #send(batch: readonly PendingNotice[]): Promise<void> {
    const { notifier, clock, log, noticeOf, store, settled, onOutcome } = this.#options;
    for (const each of batch) each.sending = true;
    try {
      const nowMs = clock.monotonic();
      this.#theoreticalMs = Math.max(nowMs, this.#theoreticalMs) + 60_000 / notifier.maxPerMinute;
      await store(batch.filter(({ mayBeTold }) => !mayBeTold));
      const notices = batch.map(noticeOf);
      const outcome = await notifier
        .send({ notices, id: idOf(batch), signal: this.#stop.signal })
        .catch((error: unknown): SendOutcome => ({ kind: "failed", error: (error as Error).message }));
      for (const each of batch) each.sending = false;
      if (outcome.kind !== "delivered" && this.#stop.signal.aborted) return;
      onOutcome(outcome.kind);
      this.#settle(batch, notices, outcome);
      if (outcome.kind === "failed" || (outcome.kind === "refused" && batch.length > 1)) return;
      this.#oneByOne &&= outcome.kind === "refused" || this.#hasMore(batch);
      const told = batch.map((each, index) => [each, notices[index] ?? each.wanted] as const);
      settled(told, outcome.kind === "refused");
    } catch (error) {
      log.error({ err: error, notifier: notifier.name }, "alerts could not be told; tried again");
      this.#fail({ kind: "failed", error: (error as Error).message });
    } finally {
      for (const each of batch) each.sending = false;
    }
  }

  #settle(batch: readonly PendingNotice[], notices: readonly Notice[], outcome: SendOutcome): void {
    const { notifier, log } = this.#options;
    const about = { notifier: notifier.name, alerts: notices.map(({ labels }) => labels["alertname"]).slice(0, 10) };
    switch (outcome.kind) {
      case "delivered":
        if (this.#failures >= failuresUntilPause) log.info(about, "the notifier takes what it is told again");
        log.debug({ ...about, count: notices.length }, "alerts were told");
        this.#failures = 0;
        return;
      case "refused":
        this.#failures = 0;
        if (batch.length > 1) {
          this.#oneByOne = true;
          log.warn(
            { ...about, error: outcome.error },
            "the notifier refuses a message: its alerts are told one by one",
          );
          return;
        }
        log.error({ ...about, error: outcome.error }, "the notifier refuses an alert, which is not told");
        return;
      case "failed":
        this.#fail(outcome);
        log.warn({ ...about, error: outcome.error, failures: this.#failures }, "alerts could not be told; tried again");
    }
  }

  #fail({ retryAfterMs = 0 }: Extract<SendOutcome, { kind: "failed" }>): void {
    const { clock, random } = this.#options;
    this.#failures++;
    const waitMs = this.#failures < failuresUntilPause ? backoffMs(backoff, this.#failures, random) : pauseMs;
    this.#notBeforeMs = clock.monotonic() + Math.max(waitMs, retryAfterMs);
  }
}

/** News before what is told again; of them what is critical. */
function urgency({ told, wanted }: PendingNotice): number {
  const isNews = told?.status !== wanted.status || told.severity !== wanted.severity;
  return (isNews ? 2 : 0) + (wanted.status === "firing" && wanted.severity === "critical" ? 1 : 0);
}

function idOf(batch: readonly PendingNotice[]): string {
  const parts = batch.map(({ wanted, told }) => {
    const { fingerprint, status, severity, startMs, acknowledgedBy } = wanted;
    return [fingerprint, status, severity, startMs, acknowledgedBy, told?.timeMs].join(" ");
  });
  return `alert_${createHash("sha256").update(parts.join("\n")).digest("base64url").slice(0, 24)}`;
}
