import { hostname } from "node:os";
import { create } from "@bufbuild/protobuf";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import {
  type AlertReport,
  AlertReportSchema,
  type CriticalFailure,
  CriticalFailureSchema,
  type Report,
  ReportSchema,
  ReportSection,
} from "../../../gen/retake/v1/report_pb.js";
import {
  alertEpisodes,
  anomaliesIn,
  CountedWindow,
  errorReport,
  executionReport,
  mostCurvedWorkflows,
  readCurves,
  StepReader,
  seriesMessage,
  sloReports,
  stepGrid,
  sumBy,
  trendsIn,
  workflowLabel,
} from "../../monitoring/analysis/index.ts";
import type { SeriesStore } from "../../monitoring/index.ts";
import { timestampFromMs } from "../../runs/index.ts";
import type { Principal } from "../../security/index.ts";
import { nextTurn } from "../../sleep.ts";
import { securityReport } from "../admin/audit.ts";
import type { MonitoringServiceOptions } from "../monitoring-service.ts";
import { seesRun } from "../visible-runs.ts";
import { alertMessage } from "./alert-messages.ts";
import { recallFailures } from "./recall-failures.ts";
import { resilienceReport } from "./resilience-report.ts";
import { statusMessage } from "./status-message.ts";

export interface ReportOrder {
  readonly principal: Principal;
  readonly windowMs: number;
  /** None for all. */
  readonly sections: readonly ReportSection[];
  readonly signal: AbortSignal;
}

const mostWorkflows = 200;
const mostAlerts = 200;
const mostCritical = 20;

/** Changes of alerts that are looked at: all that are kept. */
const mostChanges = 1_000;

/** Puts together what a server says about a time. What cannot be told is said to be missing, and nothing else fails by it. */
export async function makeReport(options: MonitoringServiceOptions, order: ReportOrder): Promise<Report> {
  const { engine, board } = options;
  const untilMs = engine.clock.now();
  const report = create(ReportSchema, {
    since: timestampFromMs(untilMs - order.windowMs),
    until: timestampFromMs(untilMs),
    version: await board.version,
    host: hostname(),
  });
  const maker = new ReportMaker(options, order, report, untilMs);
  await maker.make();
  return report;
}

class ReportMaker {
  readonly #options: MonitoringServiceOptions;
  readonly #order: ReportOrder;
  readonly #report: Report;
  readonly #nowMs: number;
  readonly #breathe = async (): Promise<void> => {
    const { clock } = this.#options.engine;
    await nextTurn(clock);
    this.#order.signal.throwIfAborted();
  };
  #curves: ReturnType<typeof readCurves> | undefined;

  constructor(options: MonitoringServiceOptions, order: ReportOrder, report: Report, nowMs: number) {
    this.#options = options;
    this.#order = order;
    this.#report = report;
    this.#nowMs = nowMs;
  }

  async make(): Promise<void> {
    const report = this.#report;
    const store = (await this.#options.monitoring)?.series?.store;
    if (store !== undefined && Number.isFinite(store.newestMs)) report.sampleTime = timestampFromMs(store.newestMs);
    await this.#section(ReportSection.STATUS, async () => {
      report.status = await statusMessage(this.#options.board, { maxWorkflows: mostWorkflows, maxAlerts: mostAlerts });
    });
    await this.#measured(ReportSection.EXECUTION, store, async (window) => {
      report.execution = await executionReport(window);
    });
    await this.#measured(ReportSection.ERRORS, store, async (window) => {
      report.errors = await errorReport(window);
      report.errors.critical = await this.#critical();
    });
    await this.#section(ReportSection.RESILIENCE, async () => {
      const window = store && this.#window(store);
      report.resilience = await resilienceReport(this.#options.engine, this.#order.principal, window);
    });
    await this.#section(ReportSection.ALERTS, async () => {
      report.alerts = await this.#alerts();
    });
    await this.#measured(ReportSection.SLOS, store, async (_, from) => {
      const alerts = await this.#options.alerts;
      report.slos = [...(await sloReports(from, this.#nowMs, alerts?.slos ?? [], this.#breathe))];
    });
    await this.#measured(ReportSection.SERIES, store, async (_, from) => {
      report.series = (await this.#readCurves(from)).filter(({ isShown }) => isShown).map(seriesMessage);
    });
    await this.#measured(ReportSection.TRENDS, store, async (_, from) => {
      report.trends = await trendsIn(await this.#readCurves(from), this.#breathe);
    });
    await this.#measured(ReportSection.ANOMALIES, store, async (_, from) => {
      report.anomalies = await anomaliesIn(await this.#readCurves(from), this.#breathe);
    });
    await this.#section(ReportSection.SECURITY, () => this.#security());
  }

  async #section(section: ReportSection, make: () => Promise<void>): Promise<void> {
    const { sections, signal } = this.#order;
    if (sections.length > 0 && !sections.includes(section)) return;
    signal.throwIfAborted();
    try {
      await make();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof NotTold)) {
        this.#options.engine.log.error({ err: error, section: ReportSection[section] }, "a section of a report failed");
      }
      const reason =
        error instanceof NotTold ? error.message : "it could not be put together; the server's log says why";
      this.#report.missing.push({ $typeName: "retake.v1.MissingSection", section, reason });
    }
  }

  /** A section that is made of samples. */
  #measured(
    section: ReportSection,
    store: SeriesStore | undefined,
    make: (window: CountedWindow, store: SeriesStore) => Promise<void>,
  ): Promise<void> {
    return this.#section(section, async () => {
      if (store === undefined) throw new NotTold(unmeasured);
      await make(this.#window(store), store);
    });
  }

  #window(store: SeriesStore): CountedWindow {
    const window = { afterMs: this.#afterMs, untilMs: this.#nowMs };
    return new CountedWindow(store, this.#nowMs, window, this.#breathe);
  }

  get #afterMs(): number {
    return this.#nowMs - this.#order.windowMs;
  }

  #readCurves(store: SeriesStore): ReturnType<typeof readCurves> {
    this.#curves ??= this.#workflowsWithMost(store).then((workflows) => {
      const grid = stepGrid({ afterMs: this.#afterMs, untilMs: this.#nowMs });
      const reader = new StepReader(store, this.#nowMs, grid, this.#breathe);
      return readCurves(reader, workflows);
    });
    return this.#curves;
  }

  async #workflowsWithMost(store: SeriesStore): Promise<string[]> {
    const ended = sumBy(await this.#window(store).of("retake_runs_ended_total"), workflowLabel);
    return [...ended]
      .filter(([name]) => name !== "")
      .sort(([a, of], [b, than]) => than - of || (a < b ? -1 : 1))
      .slice(0, mostCurvedWorkflows)
      .map(([name]) => name);
  }

  async #critical(): Promise<CriticalFailure[]> {
    const { engine, board, severe } = this.#options;
    if (board.startMs > this.#afterMs) await severe.recall(() => recallFailures(engine, board.startMs));
    return severe
      .since(this.#afterMs)
      .filter((each) => seesRun(this.#order.principal, { workflow: each.workflow, owner: ownerMessage(each.owner) }))
      .slice(0, mostCritical)
      .map(({ timeMs, runId, workflow, endpoint, attempt, failure: { category, reason, message } }) =>
        create(CriticalFailureSchema, {
          ...{ time: timestampFromMs(timeMs), runId, workflow, endpoint, attempt },
          ...{ category, reason, message },
        }),
      );
  }

  async #alerts(): Promise<AlertReport> {
    const alerts = await this.#options.alerts;
    if (alerts === undefined) throw new NotTold(unmeasured);
    const { engine } = alerts;
    const watchful = new Set(
      alerts
        .firing()
        .filter(({ deadMan }) => deadMan)
        .map(({ listed }) => listed.rule.name),
    );
    const firing = alerts.firing().filter(({ deadMan }) => !deadMan);
    const changes = engine.history.list(({ rule }) => !watchful.has(rule), mostChanges);
    return create(AlertReportSchema, {
      firing: firing.slice(0, mostAlerts).map(({ listed }) => alertMessage(listed, alerts.silencesOf(listed))),
      episodes: alertEpisodes(changes, this.#afterMs),
    });
  }

  async #security(): Promise<void> {
    const { access, auditLog } = this.#options.engine;
    const { principal, signal } = this.#order;
    if (!access.permits(principal, AdminService.method.getSecurityReport)) {
      throw new NotTold("it is for administrators, and you are none");
    }
    if (auditLog === undefined) throw new NotTold("this server keeps no audit log (security.audit.disabled)");
    this.#report.security = await securityReport(auditLog, this.#afterMs, this.#nowMs + 1, signal);
  }
}

const unmeasured =
  "this server keeps nothing of what it measures: telemetry or monitoring is disabled in its configuration, or could not be started, as its log says";

/** Why a section is not there, for whoever has asked for it. */
class NotTold extends Error {}

function ownerMessage(owner: { readonly tenant: string; readonly subject: string }) {
  return { $typeName: "retake.v1.Owner", ...owner } as const;
}
