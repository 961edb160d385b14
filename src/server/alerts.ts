import { hostname } from "node:os";
import type { Clock, RandomSource } from "../clock.ts";
import { ConfigError, type ResolvedAlerting } from "../config/index.ts";
import type { ReadContracts } from "../contract/index.ts";
import type { Instruments, NumberFamily } from "../instruments.ts";
import {
  AlertEngine,
  AlertRules,
  alertLabels,
  configuredRules,
  createNotifiers,
  type ListedAlert,
  NoticeOutbox,
  type Notifier,
  Routes,
  type SeriesStore,
  type Severity,
  Silences,
  viewAlert,
  wantedPasts,
} from "../monitoring/index.ts";
import type { Journal, Logger, QualityLevels } from "../runs/index.ts";
import type { Environment } from "../webhooks/index.ts";
import { alertingWarnings } from "./alert-workflows.ts";
import type { Watching } from "./start-monitoring.ts";

export interface AlertsOptions {
  readonly config: ResolvedAlerting;
  readonly store: SeriesStore;
  readonly journal: Journal;
  readonly qualityLevels: Pick<QualityLevels, "lower">;
  readonly instruments: Instruments;
  readonly env: Environment;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
}

export interface FiringAlert {
  readonly listed: ListedAlert;
  readonly severity: Severity;
  /** It always fires, so that one who hears nothing of it knows that nothing is told. */
  readonly deadMan: boolean;
}

type CheckOptions = Pick<AlertsOptions, "env" | "clock" | "log">;

/** Rules, alerts, silences and notifiers of a server, wired up. */
export class Alerts implements Watching {
  readonly engine: AlertEngine;
  readonly rules: AlertRules;
  readonly silences: Silences;
  readonly outbox: NoticeOutbox;
  readonly #options: AlertsOptions;
  readonly #notifications: NumberFamily;
  #slos: AlertsOptions["config"]["slos"];

  private constructor(options: AlertsOptions) {
    this.#options = options;
    this.#slos = options.config.slos;
    const { journal, clock, random, log, store, instruments } = options;
    this.#notifications = instruments.counter({
      name: "retake.notifications",
      unit: "{notification}",
      description: "Messages to notifiers.",
      attributes: ["notifier", "outcome"],
    });
    instruments.observed(
      "gauge",
      { name: "retake.alerts.firing", unit: "{alert}", description: "Alerts that fire.", attributes: ["severity"] },
      (set) => {
        for (const severity of ["warning", "critical"]) set(this.#firing(severity), severity);
      },
    );
    this.rules = new AlertRules({ journal, clock, log });
    this.silences = new Silences({ journal, clock });
    this.outbox = new NoticeOutbox({
      ...{ journal, clock, random, log, silences: this.silences },
      current: (rule, key) => this.engine.alertOf(rule, key),
      onOutcome: (notifier, outcome) => {
        this.#notifications.of(notifier, outcome).value++;
      },
    });
    this.engine = new AlertEngine({ journal, clock, log, source: store, outbox: this.outbox });
  }

  /** Takes up what an earlier process has left. @throws ConfigError */
  static async open(options: AlertsOptions): Promise<Alerts> {
    const alerts = new Alerts(options);
    const { rules, silences, outbox, engine } = alerts;
    const notifiers = await checkedNotifiers(options.config, options);
    rules.configure(options.config);
    await Promise.all([rules.open(), silences.open(), outbox.open()]);
    await alerts.#tell(notifiers, options.config.routes);
    // Before anything is evaluated: what is not known yet would count as nothing.
    await options.store.keepPast(wantedPasts(rules.active));
    await engine.open(rules.active, options.store.newestMs);
    outbox.reconcile(engine.list());
    outbox.start();
    return alerts;
  }

  async sampled(timeMs: number, monotonicMs: number): Promise<void> {
    // A clock that was set back a little has new samples left out: an older one is not to count as the newest again.
    if (timeMs >= this.#options.store.newestMs) await this.engine.evaluate(timeMs, monotonicMs);
    this.outbox.tick();
    this.#lowerQuality();
  }

  /** Goes by another configuration, which `checkAlerting` has found sound. @throws ConfigError */
  async configure(config: ResolvedAlerting): Promise<void> {
    const notifiers = await checkedNotifiers(config, this.#options);
    await this.#tell(notifiers, config.routes);
    this.rules.configure(config);
    this.#slos = config.slos;
    await this.followRules();
  }

  /** What workflows promise. */
  get slos(): AlertsOptions["config"]["slos"] {
    return this.#slos;
  }

  /** Rules have changed. */
  async followRules(): Promise<void> {
    await this.#options.store.keepPast(wantedPasts(this.rules.active));
    this.engine.replaceRules(this.rules.active, this.#options.clock.now());
    this.outbox.reconcile(this.engine.list());
  }

  /** The silences that keep an alert from being told now. */
  silencesOf({ alert, rule }: Pick<ListedAlert, "alert" | "rule">): readonly string[] {
    return this.silences.of(alertLabels(alert, rule));
  }

  /** Those that fire, the worst first, of those what fires longest. */
  firing(): readonly FiringAlert[] {
    return this.engine.list().flatMap((listed) => {
      if (!isFiring(listed)) return [];
      const deadMan = listed.rule.labels["deadman"] === "true";
      return [{ listed, severity: viewAlert(listed.alert).severity, deadMan }];
    });
  }

  /** How many are on their way. */
  get pending(): number {
    return this.engine.list().filter(({ alert }) => viewAlert(alert).state === "pending").length;
  }

  async close(): Promise<void> {
    await this.outbox.stop();
  }

  async #tell(notifiers: readonly Notifier[], routes: ResolvedAlerting["routes"]): Promise<void> {
    // A rule adds them up, and a first one counts only from a sample before it.
    for (const { name } of notifiers) {
      for (const outcome of ["delivered", "failed", "refused", "dropped"]) this.#notifications.of(name, outcome);
    }
    await this.outbox.configure(notifiers, routes);
  }

  #firing(severity: string): number {
    return this.firing().filter((one) => one.severity === severity).length;
  }

  /** What fires lowers the quality of its workflow, and keeps it from rising. */
  #lowerQuality(): void {
    const { qualityLevels, log } = this.#options;
    for (const listed of this.engine.list()) {
      const { rule, alert } = listed;
      const lowering = rule.lowerQuality;
      if (lowering === undefined || !isFiring(listed)) continue;
      const labels = alertLabels(alert, rule);
      const workflow = lowering.workflow || labels[lowering.label];
      if (workflow === undefined) continue;
      qualityLevels
        .lower(workflow, { name: rule.name, reason: "the alert fires", lowest: lowering.level })
        .catch((error: unknown) => log.warn({ err: error, workflow }, "an alert could not lower the quality"));
    }
  }
}

/** Sees whether alerts can go by a configuration; the log is told what comes to nothing. @throws ConfigError */
export async function checkAlerting(
  config: ResolvedAlerting,
  { workflows, ...options }: CheckOptions & Pick<ReadContracts, "workflows">,
): Promise<void> {
  const { problems } = configuredRules(config);
  if (problems.length > 0) throw new ConfigError("configuration", problems);
  await checkedNotifiers(config, options);
  for (const { field, message } of alertingWarnings(config, workflows)) {
    options.log.warn({ field }, `what the configuration says there comes to nothing: ${message}`);
  }
}

function isFiring({ alert }: Pick<ListedAlert, "alert">): boolean {
  const { state } = viewAlert(alert);
  return state === "firing" || state === "recovering";
}

async function checkedNotifiers(
  { notifiers, routes, externalUrl }: ResolvedAlerting,
  { env, clock, log }: CheckOptions,
): Promise<readonly Notifier[]> {
  const created = await createNotifiers(notifiers, { env, source: hostname(), externalUrl, clock, log });
  for (const [index, route] of routes.entries()) {
    try {
      new Routes([route], created);
    } catch (error) {
      const field = `monitoring.routes[${index}].matchers`;
      throw new ConfigError("configuration", [{ field, message: (error as Error).message }]);
    }
  }
  return created;
}
