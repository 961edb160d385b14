import type { Clock, RandomSource } from "../../clock.ts";
import type { ResolvedRoute } from "../../config/index.ts";
import {
  type Journal,
  type Logger,
  msFromTimestamp,
  recordsOf,
  type StreamAppend,
  streamsNamed,
} from "../../runs/index.ts";
import { sleep } from "../../sleep.ts";
import type { AlertOutbox, ListedAlert } from "../alerts/alert-engine.ts";
import type { Silences } from "../alerts/silences.ts";
import { seriesKey } from "../series/series.ts";
import type { Notice } from "./notice.ts";
import { type NoticeState, readNoticeRecord } from "./notice-events.ts";
import { noticeOf, type TellableAlert } from "./notice-of.ts";
import type { Notifier, SendOutcome } from "./notifier.ts";
import { NotifierLane } from "./notifier-lane.ts";
import { noticesPrefix, PendingNotice } from "./pending-notice.ts";
import { Routes } from "./routes.ts";

export interface NoticeOutboxOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
  readonly silences: Pick<Silences, "of">;
  /** The alert as it is now, if it is known. */
  readonly current: (rule: string, key: string) => TellableAlert | undefined;
  /** Told of each message; "dropped" for an alert that there was no room for. */
  readonly onOutcome: (notifier: string, outcome: SendOutcome["kind"] | "dropped") => void;
}

/** Some 2 KB each. */
const mostPending = 20_000;

/** How long one that is not there any more is told what is over: an Alertmanager is told for a quarter of an hour. */
const leavingMs = 20 * 60_000;

const neverTold = "a notifier is gone that was told of alerts, and does not hear that they are over: end them there";

/** As changes of alerts are: what is not stored by then is told all the same. */
const overdueMs = 5_000;

/** What was silenced is stored as told before it is; while the storage fails it is told all the same. */
const patienceMs = 2_000;

interface LeavingLane {
  readonly lane: NotifierLane;
  /** By the monotonic clock. */
  readonly untilMs: number;
}

interface Storing {
  readonly pending: readonly PendingNotice[];
  /** Whether nobody is told of it until it is durable. */
  waits: boolean;
}

/**
 * Tells alerts to notifiers.
 *
 * 1. What each notifier is to be told of each alert has a stream of its own in the journal, written in the same append as the
 *    alert's change. So it is told whatever dies in between; while nobody knows whether it has been, it is told again.
 * 2. Newest wins: a notifier that was away hears how alerts are, not how they have come to that.
 * 3. Who was told that an alert fires, or may have been, is told that it is over, silenced or not. Then the stream goes.
 */
export class NoticeOutbox implements AlertOutbox {
  readonly #options: NoticeOutboxOptions;
  #lanes: readonly NotifierLane[] = [];
  /** Of notifiers that are not there any more: they are told what is over, and nothing else. */
  #leaving: readonly LeavingLane[] = [];
  #routes: Routes = new Routes([], []);
  /** What was read before the notifiers were known, by their names. */
  readonly #unclaimed = new Map<string, PendingNotice[]>();
  readonly #gone: string[] = [];
  /** What is not durable yet, by the changes that it is stored with. */
  readonly #storing = new Map<readonly TellableAlert[], Storing>();
  #started = false;

  constructor(options: NoticeOutboxOptions) {
    this.#options = options;
  }

  /** How much there is to tell, or to tell again. */
  get size(): number {
    return this.#lanes.reduce((sum, { pending }) => sum + pending.size, 0);
  }

  get notifiers(): readonly Notifier[] {
    return this.#lanes.map(({ notifier }) => notifier);
  }

  /** Reads what earlier processes have left. */
  async open(): Promise<void> {
    const { journal, log, clock, random } = this.#options;
    for await (const stream of streamsNamed(journal, noticesPrefix)) {
      const [, notifier = ""] = stream.split("/");
      try {
        let state: NoticeState | undefined;
        let sequence = 0;
        for await (const record of recordsOf(journal, stream)) {
          state = readNoticeRecord(record.data);
          sequence = record.sequence;
        }
        if (state === undefined) continue;
        const pending = new PendingNotice(state, { notifier, clock, random, stored: { stream, sequence } });
        this.#unclaimed.set(notifier, [...(this.#unclaimed.get(notifier) ?? []), pending]);
      } catch (error) {
        log.error({ err: error, stream }, "what is to be told of an alert could not be read");
      }
    }
  }

  /**
   * Tells these notifiers from now on. Others that were told that alerts fire hear that these are over, as far as they can be
   * told: those of an earlier process are not known any more.
   *
   * @throws TypeError for a matcher that is no regular expression, before anything is changed
   */
  async configure(notifiers: readonly Notifier[], routes: readonly ResolvedRoute[]): Promise<void> {
    const { log } = this.#options;
    const next = new Routes(routes, notifiers);
    const before = [...this.#lanes, ...this.#leaving.map(({ lane }) => lane)];
    const untilMs = new Map(this.#leaving.map((leaving) => [leaving.lane, leaving.untilMs]));
    await Promise.all(before.map((lane) => lane.stop()));
    this.#routes = next;
    this.#lanes = notifiers.map((notifier) => this.#lane(notifier));
    const names = new Set(notifiers.map(({ name }) => name));
    const [gone, staying] = [false, true].map((stays) =>
      before.filter((lane) => names.has(lane.notifier.name) === stays),
    );
    for (const { notifier, pending } of staying ?? []) {
      this.#unclaimed.set(notifier.name, [...(this.#unclaimed.get(notifier.name) ?? []), ...pending.values()]);
    }
    const newlyUntilMs = this.#options.clock.monotonic() + leavingMs;
    this.#leaving = (gone ?? []).flatMap((lane) => this.#leave(lane, untilMs.get(lane) ?? newlyUntilMs));
    for (const lane of this.#lanes) {
      for (const pending of this.#unclaimed.get(lane.notifier.name) ?? []) {
        const { fingerprint } = pending.wanted;
        const known = lane.pending.get(fingerprint);
        // A stream that another one has taken the place of, and that could not be deleted.
        if (known !== undefined) this.#gone.push(pending.stream);
        else lane.pending.set(fingerprint, pending);
      }
      this.#unclaimed.delete(lane.notifier.name);
    }
    for (const [notifier, orphans] of this.#unclaimed) {
      this.#gone.push(...orphans.map(({ stream }) => stream));
      const alerts = orphans.filter(({ mayBeTold, told }) => mayBeTold && told?.status !== "resolved").length;
      if (alerts > 0) log.warn({ notifier, alerts }, neverTold);
    }
    this.#unclaimed.clear();
    this.#deleteGone();
    if (this.#started) this.#tellLeaving();
  }

  /** Goes by the alerts that there are: some may have come or gone while nobody looked. */
  reconcile(alerts: readonly ListedAlert[]): void {
    const { journal, clock } = this.#options;
    const nowMs = clock.now();
    const appends = [...this.appendsFor(alerts, nowMs)];
    const known = new Set(alerts.map((alert) => noticeOf(alert, nowMs)?.fingerprint));
    for (const lane of this.#lanes) {
      for (const pending of lane.pending.values()) {
        if (known.has(pending.wanted.fingerprint) || pending.wanted.status === "resolved") continue;
        appends.push(...this.#set(pending, over(pending.wanted, nowMs)));
      }
    }
    if (appends.length === 0) {
      this.tick();
      return;
    }
    // The storage may be what they are about, or why there is another notifier.
    const timer = clock.setTimeout(() => this.overdue(alerts), overdueMs);
    journal
      .append(appends)
      .then(
        () => this.changed(alerts),
        (error: unknown) => this.changed(alerts, error),
      )
      .finally(() => timer.cancel());
  }

  /** Begins to tell. */
  start(): void {
    this.#started = true;
    this.tick();
  }

  /** Looks for what is due by now: what is to be told again, what is silenced or acknowledged no more. */
  tick(): void {
    if (!this.#started) return;
    for (const lane of this.#lanes) {
      this.#sweep(lane);
      lane.pump();
    }
    if (this.#leaving.length > 0) this.#tellLeaving();
  }

  appendsFor(changes: readonly TellableAlert[], nowMs: number): readonly StreamAppend[] {
    const storing: PendingNotice[] = [];
    const appends = changes.flatMap((change) => this.#want(change, nowMs, storing));
    for (const each of storing) each.storing++;
    if (storing.length > 0) this.#storing.set(changes, { pending: storing, waits: true });
    return appends;
  }

  overdue(changes: readonly TellableAlert[]): void {
    const storing = this.#storing.get(changes);
    if (storing === undefined) return;
    release(storing);
    this.tick();
  }

  changed(changes: readonly TellableAlert[], failure?: unknown): void {
    const storing = this.#storing.get(changes);
    if (storing !== undefined) {
      release(storing);
      if (failure !== undefined) for (const each of storing.pending) each.renew();
    }
    this.#storing.delete(changes);
    this.tick();
  }

  /** Ends: what is left is told by the next process. */
  async stop(): Promise<void> {
    this.#started = false;
    await Promise.all([...this.#lanes, ...this.#leaving.map(({ lane }) => lane)].map((lane) => lane.stop()));
  }

  /** Tells whoever is not to be told any more, and has been, that all of it is over. */
  #leave({ notifier, pending: all }: NotifierLane, untilMs: number): LeavingLane[] {
    const { clock } = this.#options;
    const lane = this.#lane(notifier);
    for (const pending of all.values()) {
      if (pending.wanted.status === "firing") pending.wanted = over(pending.wanted, clock.now());
      if (pending.isDone(notifier)) this.#gone.push(pending.stream);
      else lane.pending.set(pending.wanted.fingerprint, pending);
    }
    if (lane.pending.size === 0) return [];
    void this.#store([...lane.pending.values()]);
    return [{ lane, untilMs }];
  }

  #tellLeaving(): void {
    const { clock, log } = this.#options;
    this.#leaving = this.#leaving.filter(({ lane, untilMs }) => {
      this.#sweep(lane);
      if (lane.pending.size === 0) return false;
      if (clock.monotonic() < untilMs) {
        lane.pump();
        return true;
      }
      log.warn({ notifier: lane.notifier.name, alerts: lane.pending.size }, neverTold);
      void lane.stop();
      this.#gone.push(...Array.from(lane.pending.values(), ({ stream }) => stream));
      this.#deleteGone();
      return false;
    });
  }

  #want(change: TellableAlert, nowMs: number, storing: PendingNotice[]): StreamAppend[] {
    const notice = noticeOf(change, nowMs);
    if (notice === undefined) return [];
    const expires = change.acknowledgement?.expireTime;
    const untilMs = expires === undefined ? Number.POSITIVE_INFINITY : msFromTimestamp(expires);
    const fires = notice.status === "firing";
    const told = fires ? this.#routes.of(notice.labels) : undefined;
    return this.#lanes.flatMap((lane) => {
      const pending = lane.pending.get(notice.fingerprint);
      const about = { rule: change.rule.name, key: change.key };
      if (pending !== undefined) pending.about = about;
      const repeatMs = told?.get(lane.notifier.name);
      if (repeatMs === undefined) {
        if (pending === undefined || pending.wanted.status === "resolved") return [];
        // Whom its new severity is not told to hears that it is over.
        storing.push(pending);
        return this.#set(pending, fires ? over(pending.wanted, nowMs) : notice);
      }
      if (pending === undefined) {
        const added = this.#add(lane, notice, repeatMs, untilMs);
        if (added === undefined) return [];
        added.about = about;
        storing.push(added);
        return [this.#append(added)];
      }
      if (isSame(pending.wanted, notice) && pending.repeatMs === repeatMs && pending.acknowledgedUntilMs === untilMs) {
        return [];
      }
      pending.repeatMs = repeatMs;
      pending.acknowledgedUntilMs = untilMs;
      const startMs = pending.wanted.status === "firing" ? pending.wanted.startMs : notice.startMs;
      storing.push(pending);
      return this.#set(pending, { ...notice, startMs });
    });
  }

  #add(lane: NotifierLane, wanted: Notice, repeatMs: number, acknowledgedUntilMs: number): PendingNotice | undefined {
    const { clock, random, log, onOutcome } = this.#options;
    const notifier = lane.notifier.name;
    if (this.size >= mostPending) {
      log.error({ notifier, alert: wanted.labels["alertname"] }, "too many alerts: this one is not told");
      onOutcome(notifier, "dropped");
      return undefined;
    }
    const state = { wanted, acknowledgedUntilMs, mayBeTold: !this.#isSilenced(wanted), told: undefined, repeatMs };
    const pending = new PendingNotice(state, { notifier, clock, random });
    lane.pending.set(wanted.fingerprint, pending);
    return pending;
  }

  #set(pending: PendingNotice, wanted: Notice): StreamAppend[] {
    pending.wanted = wanted;
    if (wanted.status === "firing" && !this.#isSilenced(wanted)) pending.mayBeTold = true;
    // One that nobody was told of is forgotten by the next sweep.
    return [this.#append(pending)];
  }

  #append(pending: PendingNotice): StreamAppend {
    const { append, outgrown } = pending.append();
    if (outgrown !== undefined) this.#gone.push(outgrown);
    return append;
  }

  #isSilenced({ labels }: Pick<Notice, "labels">): boolean {
    return this.#options.silences.of(labels).length > 0;
  }

  /** With the value and the texts of now. */
  #noticeOf(pending: PendingNotice): Notice {
    const { about, wanted } = pending;
    const alert = about && this.#options.current(about.rule, about.key);
    return pending.notice(alert && noticeOf(alert, this.#options.clock.now()), this.#isSilenced(wanted));
  }

  #lane(notifier: Notifier): NotifierLane {
    const { clock, random, log, onOutcome } = this.#options;
    const lane: NotifierLane = new NotifierLane({
      ...{ notifier, clock, random, log },
      isSilenced: (notice) => this.#isSilenced(notice),
      noticeOf: (pending) => this.#noticeOf(pending),
      store: (notices) => this.#storeFirst(notices),
      settled: (told, refused) => this.#settled(lane, told, refused),
      onOutcome: (outcome) => onOutcome(notifier.name, outcome),
    });
    return lane;
  }

  async #storeFirst(notices: readonly PendingNotice[]): Promise<void> {
    if (notices.length === 0) return;
    const { clock } = this.#options;
    for (const each of notices) each.mayBeTold = true;
    const stored = this.#store(notices);
    const patience = new AbortController();
    await Promise.race([stored, sleep(clock, patienceMs, patience.signal).catch(() => undefined)]);
    patience.abort();
  }

  #settled(lane: NotifierLane, told: readonly (readonly [PendingNotice, Notice])[], refused: boolean): void {
    const news = told.filter(([pending, notice]) => pending.tell(notice, refused) && !pending.isDone(lane.notifier));
    void this.#store(news.map(([pending]) => pending));
    this.#sweep(lane);
  }

  async #store(notices: readonly PendingNotice[]): Promise<void> {
    if (notices.length === 0) return;
    try {
      await this.#options.journal.append(notices.map((each) => this.#append(each)));
      this.#deleteGone();
    } catch (error) {
      for (const each of notices) each.renew();
      this.#complain(error);
    }
  }

  /** Forgets what nothing is left to tell of. */
  #sweep(lane: NotifierLane): void {
    for (const [fingerprint, pending] of lane.pending) {
      if (!pending.isDone(lane.notifier) || pending.sending || pending.storing > 0) continue;
      lane.pending.delete(fingerprint);
      this.#gone.push(pending.stream);
    }
    this.#deleteGone();
  }

  #deleteGone(): void {
    const gone = this.#gone.splice(0);
    if (gone.length === 0) return;
    this.#options.journal.deleteStreams(gone).catch((error: unknown) => this.#complain(error));
  }

  #complain(error: unknown): void {
    this.#options.log.debug({ err: error }, "what is told of alerts cannot be stored; some may be told twice");
  }
}

function release(storing: Storing): void {
  if (storing.waits) for (const each of storing.pending) each.storing--;
  storing.waits = false;
}

function over({ endMs: _, acknowledgedBy: __, ...notice }: Notice, nowMs: number): Notice {
  return { ...notice, status: "resolved", endMs: nowMs };
}

function isSame(a: Notice, b: Notice): boolean {
  return (
    a.status === b.status &&
    a.severity === b.severity &&
    a.acknowledgedBy === b.acknowledgedBy &&
    seriesKey("", a.labels) === seriesKey("", b.labels)
  );
}
