import type { Acknowledgement } from "../../../gen/retake/v1/alert_pb.js";
import type { Clock } from "../../clock.ts";
import {
  type Journal,
  type Logger,
  msFromTimestamp,
  recordsOf,
  type StreamAppend,
  streamsNamed,
} from "../../runs/index.ts";
import { nextTurn } from "../../sleep.ts";
import { type Alert, type AlertChange, type AlertView, mostAlerts, RuleAlerts, viewAlert } from "./alert.ts";
import { type AlertRecord, acknowledgedRecord, movedRecord, readAlertRecord } from "./alert-events.ts";
import { AlertHistory, type PastChange } from "./alert-history.ts";
import { type Evaluation, evaluateRule, type SeriesSource } from "./evaluate.ts";
import type { Rule } from "./rule.ts";
import { inactive, newestMs, shiftTracker, type TrackerState, track } from "./tracker.ts";

/** What is told of the changes of an evaluation, in the same append. */
export interface AlertOutbox {
  /** What is to be stored with the changes, so that they are told whatever dies in between. */
  appendsFor(changes: readonly RuleChange[], nowMs: number): readonly StreamAppend[];
  /**
   * They are durable; or they are not, after a while, because the storage fails: tell them all the same. Called once for
   * each `appendsFor`, with the same changes, and with what the storage has refused them for if it has.
   */
  changed(changes: readonly RuleChange[], failure?: unknown): void;
  /** It takes long until they are durable: what is to be told of the same alerts does not wait for it any longer. */
  overdue(changes: readonly RuleChange[]): void;
}

/** How an alert has moved, and by which rule. */
export interface RuleChange extends AlertChange {
  readonly rule: Rule;
  /** Who looks after it now. */
  readonly acknowledgement?: Acknowledgement;
}

export interface AlertEngineOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Logger;
  readonly source: SeriesSource;
  readonly outbox: AlertOutbox;
}

/** An alert as it is listed. */
export interface ListedAlert {
  readonly key: string;
  readonly rule: Rule;
  readonly alert: Alert;
  readonly acknowledgement?: Acknowledgement;
}

/** One rule with its alerts and its stream. */
interface Watched {
  alerts: RuleAlerts;
  /** By the key of the alert. */
  readonly acknowledgements: Map<string, Acknowledgement>;
  /** The stream is `alerts/<rule>/<generation>`: a new one is begun when it has become long. */
  generation: number;
  sequence: number;
  /** Whether the stream is not where it should be, since the storage has refused something: a new one is begun. */
  broken?: boolean;
  /** Whether there is no room for some of its alerts. */
  crowded: boolean;
}

const prefix = "alerts/";

/** Rules that are evaluated before others have the event loop: a millisecond, where each looks at some ten series. */
const rulesPerTurn = 10;

/** Records of a rule's stream before it is begun anew with what still counts. */
const longestStream = 1_000;

/** How far the clock may step between two evaluations before it counts as set. */
const toleratedStepMs = 5_000;

/** What fires is told after that although it cannot be stored: the storage may be what it is about. */
const patienceMs = 5_000;

/**
 * The alerts of all rules.
 *
 * 1. Each evaluation's changes are one append, with what is to be told of them. They are told once it is durable, or when it
 *    has taken so long that the storage must be failing.
 * 2. What has been going on for a time goes on for the rest of it after a restart, and whatever the clock is set to: times
 *    are moved along with it.
 */
export class AlertEngine {
  /** How alerts have moved lately. */
  readonly history = new AlertHistory();
  readonly #options: AlertEngineOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #listeners = new Set<(changes: readonly RuleChange[]) => void>();
  /** Acknowledgements that are not durable yet, with those that are shown until then. */
  readonly #unstored = new Map<Acknowledgement, Acknowledgement | undefined>();
  /** Streams that others have taken the place of. */
  readonly #outgrown: string[] = [];
  #lastMs: number | undefined;
  #lastMonotonicMs = 0;

  constructor(options: AlertEngineOptions) {
    this.#options = options;
  }

  /**
   * Takes up what an earlier process has left.
   *
   * @param lastMs when that evaluated last: what is pending has not been going on since
   */
  async open(rules: readonly Rule[], lastMs: number): Promise<void> {
    const { journal, clock } = this.#options;
    const newest = new Map<string, { generation: number; older: string[] }>();
    for await (const stream of streamsNamed(journal, prefix)) {
      const [, name = "", generation = "0"] = stream.split("/");
      const known = newest.get(name);
      const older = known === undefined ? [] : [...known.older, streamOf(name, known.generation)];
      newest.set(name, { generation: Math.max(Number(generation), known?.generation ?? 0), older });
    }
    const read: (Watched & { lastMs: number })[] = [];
    for (const rule of rules) read.push(await this.#read(rule, newest.get(rule.name)?.generation ?? 0));
    const nowMs = clock.now();
    // A clock that was set back meanwhile would leave everything to begin, and to end, in times to come.
    const aheadMs = lastMs - nowMs;
    for (const watched of read) {
      const { rule } = watched.alerts;
      const awayMs = Math.max(0, nowMs - Math.max(lastMs, watched.lastMs));
      if (aheadMs > toleratedStepMs) watched.alerts = new RuleAlerts(rule, allShifted(watched.alerts, -aheadMs));
      else if (awayMs > 0) watched.alerts = new RuleAlerts(rule, pendingShifted(watched.alerts, awayMs));
      watched.alerts = new RuleAlerts(rule, noneAhead(watched.alerts, nowMs));
      this.#watched.set(rule.name, watched);
    }
    this.history.sort();
    const leftOver = [...newest].flatMap(([name, { generation, older }]) =>
      this.#watched.has(name) ? older : [...older, streamOf(name, generation)],
    );
    // Nobody waits for it: on a full disk it would be for good, and there would be no alert of that.
    if (leftOver.length > 0) journal.deleteStreams(leftOver).catch((error: unknown) => this.#complain(error, prefix));
  }

  get rules(): readonly Rule[] {
    return Array.from(this.#watched.values(), ({ alerts }) => alerts.rule);
  }

  /** Those that are not inactive, worst first, then by what fires longest. */
  list(): readonly ListedAlert[] {
    return [...this.#watched.values()]
      .flatMap((watched) => Array.from(watched.alerts.alerts, ([key, alert]) => this.#listed(watched, key, alert)))
      .sort((a, b) => urgency(b.alert) - urgency(a.alert) || activeMs(a.alert) - activeMs(b.alert));
  }

  /** One of them. */
  alertOf(rule: string, key: string): ListedAlert | undefined {
    const watched = this.#watched.get(rule);
    const alert = watched?.alerts.alerts.get(key);
    if (watched === undefined || alert === undefined) return undefined;
    return this.#listed(watched, key, alert);
  }

  /** Calls back after each evaluation in which anything has moved, until the returned function is called. */
  onChanged(listener: (changes: readonly RuleChange[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Evaluates every rule at the time of the newest samples. Others have the event loop in between; what has moved, moves
   * at once.
   * @param monotonicMs when that was by the monotonic clock: much may lie between samples and what is made of them
   */
  async evaluate(nowMs: number, monotonicMs = this.#options.clock.monotonic()): Promise<void> {
    const { clock, source } = this.#options;
    this.#followClock(nowMs, monotonicMs);
    const evaluations = new Map<Rule, Evaluation>();
    for (const rule of this.rules) {
      if (evaluations.size > 0 && evaluations.size % rulesPerTurn === 0) await nextTurn(clock);
      evaluations.set(rule, evaluateRule(rule, source, nowMs));
    }
    const changes: RuleChange[] = [];
    for (const watched of this.#watched.values()) {
      const { alerts } = watched;
      const { rule } = alerts;
      // It may have been replaced meanwhile.
      const evaluation = evaluations.get(rule);
      if (evaluation === undefined) continue;
      const { changes: own, leftOut, error } = alerts.follow(evaluation, nowMs);
      if (leftOut !== undefined && leftOut > 0 !== watched.crowded) this.#crowd(watched, leftOut);
      if (error !== undefined) this.#options.log.warn({ err: error, rule: rule.name }, "an alert rule has no value");
      for (const change of own) changes.push({ ...change, rule });
    }
    if (changes.length > 0) this.#store(changes, nowMs);
  }

  /** Goes by other rules from now on. Alerts of rules that stay go on; those of rules that are gone end. */
  replaceRules(rules: readonly Rule[], nowMs: number): void {
    const wanted = new Map(rules.map((rule) => [rule.name, rule]));
    const changes: RuleChange[] = [];
    for (const [name, watched] of this.#watched) {
      const rule = wanted.get(name);
      if (rule === undefined) {
        changes.push(...ended(watched.alerts, nowMs));
      } else {
        watched.alerts = new RuleAlerts(rule, watched.alerts.alerts.values());
      }
    }
    for (const [name, rule] of wanted) {
      if (!this.#watched.has(name)) {
        const alerts = new RuleAlerts(rule);
        this.#watched.set(name, { alerts, acknowledgements: new Map(), generation: 0, sequence: 0, crowded: false });
      }
    }
    if (changes.length > 0) this.#store(changes, nowMs);
    for (const [name, { generation }] of this.#watched) {
      if (wanted.has(name)) continue;
      this.#watched.delete(name);
      this.#options.journal
        .deleteStreams([streamOf(name, generation)])
        .catch((error: unknown) => this.#complain(error, name));
    }
  }

  /**
   * Says who looks after an alert, or with nothing that nobody does any more. Whether there is such an alert, and it is not
   * over. While the journal fails, that waits.
   *
   * @throws JournalUnavailableError
   */
  async acknowledge(rule: string, key: string, acknowledgement: Acknowledgement | undefined): Promise<boolean> {
    const watched = this.#watched.get(rule);
    const alert = watched?.alerts.alerts.get(key);
    if (watched === undefined || alert === undefined) return false;
    const { journal, outbox, clock } = this.#options;
    const nowMs = clock.now();
    const view = viewAlert(alert);
    if (!isOpen(view)) return false;
    const change: RuleChange = {
      ...{ key, rule: watched.alerts.rule, alert, before: view, after: view },
      ...(acknowledgement && { acknowledgement }),
    };
    const before = watched.acknowledgements.get(key);
    setAcknowledgement(watched, key, acknowledgement);
    if (acknowledgement !== undefined) this.#unstored.set(acknowledgement, before);
    // Never impatient: what is appended behind it to the same streams would be lost with it.
    const changes = [change];
    const record = acknowledgedRecord(alert, acknowledgement, nowMs);
    const appends = [...this.#appendsOf(watched, [record], nowMs), ...outbox.appendsFor(changes, nowMs)];
    const timer = clock.setTimeout(() => outbox.overdue(changes), patienceMs);
    try {
      await journal.append(appends);
    } catch (error) {
      watched.broken = true;
      if (watched.acknowledgements.get(key) === acknowledgement) setAcknowledgement(watched, key, before);
      this.#tell(changes, error);
      throw error;
    } finally {
      timer.cancel();
      if (acknowledgement !== undefined) this.#unstored.delete(acknowledgement);
    }
    this.#tell(changes);
    return true;
  }

  #crowd(watched: Watched, leftOut: number): void {
    watched.crowded = leftOut > 0;
    const about = { rule: watched.alerts.rule.name, most: mostAlerts };
    const { log } = this.#options;
    if (!watched.crowded) log.info(about, "there is room for all alerts of a rule again");
    else log.error({ ...about, leftOut }, "a rule has more alerts than may be: group its series by fewer labels");
  }

  #tell(changes: readonly RuleChange[], failure?: unknown): void {
    this.#options.outbox.changed(changes, failure);
    for (const listener of this.#listeners) listener(changes);
  }

  #listed(watched: Watched, key: string, alert: Alert): ListedAlert {
    const newest = watched.acknowledgements.get(key);
    const stored = newest !== undefined && this.#unstored.has(newest) ? this.#unstored.get(newest) : newest;
    const acknowledgement = this.#valid(stored);
    return { key, rule: watched.alerts.rule, alert, ...(acknowledgement && { acknowledgement }) };
  }

  /** Who looks after an alert, as long as that holds. */
  #acknowledgement({ acknowledgements }: Watched, key: string): Acknowledgement | undefined {
    return this.#valid(acknowledgements.get(key));
  }

  #valid(found: Acknowledgement | undefined): Acknowledgement | undefined {
    const expires = found?.expireTime;
    return expires !== undefined && msFromTimestamp(expires) <= this.#options.clock.now() ? undefined : found;
  }

  /** Records of a rule, in a stream that is begun anew with all that counts where it has become long, or broken. */
  #appendsOf(watched: Watched, records: readonly Uint8Array[], nowMs: number): StreamAppend[] {
    if (!watched.broken && watched.sequence + records.length <= longestStream) return [appendTo(watched, records)];
    this.#outgrown.push(streamOf(watched.alerts.rule.name, watched.generation));
    watched.generation++;
    watched.sequence = 0;
    watched.broken = false;
    const snapshot = snapshotOf(watched, nowMs);
    return [appendTo(watched, snapshot.length > 0 ? snapshot : records)];
  }

  #store(moved: readonly RuleChange[], nowMs: number): void {
    const { journal, outbox, clock } = this.#options;
    const appends: StreamAppend[] = [];
    const touched: Watched[] = [];
    const changes: RuleChange[] = [];
    for (const [name, own] of Map.groupBy(moved, ({ rule }) => rule.name)) {
      const watched = this.#watched.get(name);
      if (watched === undefined) continue;
      touched.push(watched);
      for (const change of own) {
        const { key, before, after, alert } = change;
        if (endsAcknowledgement(before, after)) watched.acknowledgements.delete(key);
        const acknowledgement = this.#acknowledgement(watched, key);
        changes.push({ ...change, ...(acknowledgement && { acknowledgement }) });
        this.history.add({ ...alert, timeMs: nowMs, key, before, after });
      }
      const records = own.map(({ alert }) => movedRecord(alert, nowMs));
      appends.push(...this.#appendsOf(watched, records, nowMs));
    }
    appends.push(...outbox.appendsFor(changes, nowMs));
    let told = false;
    const tell = (failure?: unknown): void => {
      if (told) return;
      told = true;
      timer.cancel();
      this.#tell(changes, failure);
    };
    const timer = clock.setTimeout(() => tell(), patienceMs);
    journal.append(appends).then(
      () => {
        tell();
        this.#deleteOutgrown();
      },
      (error: unknown) => {
        for (const watched of touched) watched.broken = true;
        this.#complain(error, appends.map(({ stream }) => stream).join(", "));
        tell(error);
      },
    );
  }

  #deleteOutgrown(): void {
    const outgrown = this.#outgrown.splice(0);
    if (outgrown.length === 0) return;
    this.#options.journal.deleteStreams(outgrown).catch((error: unknown) => this.#complain(error, outgrown.join(", ")));
  }

  async #read(rule: Rule, generation: number): Promise<Watched & { lastMs: number }> {
    const alerts = new Map<string, Alert>();
    const acknowledgements = new Map<string, Acknowledgement>();
    let [sequence, lastMs] = [0, 0];
    let broken = false;
    for await (const record of recordsOf(this.#options.journal, streamOf(rule.name, generation))) {
      sequence = record.sequence;
      let told: AlertRecord | undefined;
      try {
        told = readAlertRecord(rule.name, record.data);
      } catch (error) {
        // What it told is as good as lost already; alerts of all rules would be with it.
        this.#options.log.error({ err: error, rule: rule.name, sequence }, "a record of an alert cannot be read");
        broken = true;
      }
      if (told === undefined) continue;
      lastMs = told.timeMs;
      const key = RuleAlerts.keyOf(told.alert);
      if (told.kind === "acknowledged") {
        if (told.acknowledgement === undefined) acknowledgements.delete(key);
        else acknowledgements.set(key, told.acknowledgement);
        continue;
      }
      const known = alerts.get(key);
      const [before, after] = [viewAlert(known ?? nothing), viewAlert(told.alert)];
      if (after.state === "inactive") alerts.delete(key);
      else alerts.set(key, told.alert);
      if (endsAcknowledgement(before, after)) acknowledgements.delete(key);
      if (known === undefined) this.history.add(...wayOf(told.alert, key));
      else this.history.add({ ...told.alert, timeMs: told.timeMs, key, before, after });
    }
    // A stream with a record that cannot be read has another one take its place.
    const position = { generation, sequence, broken, crowded: false };
    return { alerts: new RuleAlerts(rule, alerts.values()), acknowledgements, ...position, lastMs };
  }

  /** Moves the times of alerts along when the clock was set (rule 2). */
  #followClock(nowMs: number, monotonicMs: number): void {
    const stepMs = this.#lastMs === undefined ? 0 : nowMs - this.#lastMs - (monotonicMs - this.#lastMonotonicMs);
    this.#lastMs = nowMs;
    this.#lastMonotonicMs = monotonicMs;
    if (Math.abs(stepMs) <= toleratedStepMs) return;
    this.#options.log.warn({ byMs: stepMs }, "the clock was set: the times of alerts are moved along");
    const appends: StreamAppend[] = [];
    const touched: Watched[] = [];
    for (const watched of this.#watched.values()) {
      const moved = allShifted(watched.alerts, stepMs);
      if (moved.length === 0) continue;
      watched.alerts = new RuleAlerts(watched.alerts.rule, moved);
      touched.push(watched);
      appends.push(
        ...this.#appendsOf(
          watched,
          moved.map((alert) => movedRecord(alert, nowMs)),
          nowMs,
        ),
      );
    }
    if (appends.length === 0) return;
    // The next process goes by the clock of today, too.
    this.#options.journal.append(appends).catch((error: unknown) => {
      for (const watched of touched) watched.broken = true;
      this.#complain(error, appends.map(({ stream }) => stream).join(", "));
    });
  }

  #complain(error: unknown, what: string): void {
    this.#options.log.error({ err: error, what }, "the states of alerts cannot be stored; they go on in memory");
  }
}

const nothing: Pick<Alert, "trackers"> = { trackers: { warning: inactive, critical: inactive } };

/** How an alert has come to where it is: a stream that was begun anew tells that alone. */
function wayOf(alert: Alert, key: string): PastChange[] {
  const view = viewAlert(alert);
  const { severity } = view;
  const state = alert.trackers[severity];
  const stages: [AlertView["state"], number][] = [];
  if (state.kind === "pending") stages.push(["pending", state.activeMs]);
  if ("firedMs" in state) stages.push(["firing", state.firedMs]);
  if (state.kind === "recovering") stages.push(["recovering", state.missedMs]);
  if (state.kind === "resolved") stages.push(["resolved", state.resolvedMs]);
  let before = viewAlert(nothing);
  return stages.map(([kind, timeMs]) => {
    const change = { ...alert, timeMs, key, before, after: { state: kind, severity } };
    before = change.after;
    return change;
  });
}

/** Whether people may have something to do. */
function isOpen({ state }: AlertView): boolean {
  return state === "firing" || state === "recovering" || state === "pending";
}

/** Whoever looked after it looks after nothing once it is over, and has to look anew once it is worse. */
function endsAcknowledgement(before: AlertView, after: AlertView): boolean {
  const worse = before.severity === "warning" && after.severity === "critical" && before.state !== "resolved";
  return !isOpen(after) || (isOpen(before) && worse);
}

/** What fires comes first, of that what is critical. */
function urgency(alert: Alert): number {
  const { state, severity } = viewAlert(alert);
  const stage = { firing: 3, recovering: 3, pending: 2, resolved: 1, inactive: 0 }[state];
  return 2 * stage + (severity === "critical" ? 1 : 0);
}

function activeMs({ trackers }: Alert): number {
  const times = Object.values(trackers).map((state) =>
    "activeMs" in state ? state.activeMs : Number.POSITIVE_INFINITY,
  );
  return Math.min(...times);
}

function streamOf(rule: string, generation: number): string {
  return `${prefix}${rule}/${generation}`;
}

function appendTo(watched: Watched, records: readonly Uint8Array[]): StreamAppend {
  const stream = streamOf(watched.alerts.rule.name, watched.generation);
  const expectedSequence = watched.sequence;
  watched.sequence += records.length;
  return { stream, expectedSequence, records };
}

function snapshotOf({ alerts, acknowledgements }: Watched, nowMs: number): Uint8Array[] {
  return Array.from(alerts.alerts, ([key, alert]) => {
    const acknowledgement = acknowledgements.get(key);
    return [movedRecord(alert, nowMs), ...(acknowledgement ? [acknowledgedRecord(alert, acknowledgement, nowMs)] : [])];
  }).flat();
}

function setAcknowledgement({ acknowledgements }: Watched, key: string, value: Acknowledgement | undefined): void {
  if (value === undefined) acknowledgements.delete(key);
  else acknowledgements.set(key, value);
}

function shifted(alert: Alert, byMs: number): Alert {
  const { warning, critical } = alert.trackers;
  return { ...alert, trackers: { warning: shiftTracker(warning, byMs), critical: shiftTracker(critical, byMs) } };
}

function allShifted(alerts: RuleAlerts, byMs: number): Alert[] {
  return Array.from(alerts.alerts.values(), (alert) => shifted(alert, byMs));
}

/** Nothing has begun, nor ended, in times to come. */
function noneAhead(alerts: RuleAlerts, nowMs: number): Alert[] {
  return Array.from(alerts.alerts.values(), (alert) => {
    const { warning, critical } = alert.trackers;
    const aheadMs = Math.max(newestMs(warning), newestMs(critical)) - nowMs;
    return aheadMs > 0 ? shifted(alert, -aheadMs) : alert;
  });
}

/** While nobody looked, nothing was pending. */
function pendingShifted(alerts: RuleAlerts, byMs: number): Alert[] {
  return Array.from(alerts.alerts.values(), (alert) => {
    const { warning, critical } = alert.trackers;
    const move = (state: typeof warning) => (state.kind === "pending" ? shiftTracker(state, byMs) : state);
    return { ...alert, trackers: { warning: move(warning), critical: move(critical) } };
  });
}

/** What becomes of the alerts of a rule that is no more. */
function ended(alerts: RuleAlerts, nowMs: number): RuleChange[] {
  const times = { forMs: 0, keepFiringForMs: 0 };
  return Array.from(alerts.alerts, ([key, alert]) => {
    const { warning, critical } = alert.trackers;
    const end = (state: TrackerState): TrackerState =>
      state.kind === "resolved" ? state : track(state, false, nowMs, times);
    const trackers = { warning: end(warning), critical: end(critical) };
    const after: Alert = { ...alert, trackers };
    return { key, rule: alerts.rule, before: viewAlert(alert), alert: after, after: viewAlert(after) };
  }).filter(({ before, after }) => before.state !== after.state);
}
