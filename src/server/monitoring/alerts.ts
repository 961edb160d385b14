import { create } from "@bufbuild/protobuf";
import { Code, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import {
  type Acknowledgement,
  AcknowledgementSchema,
  type Alert,
  AlertSeverity,
  AlertState,
} from "../../../gen/retake/v1/alert_pb.js";
import { ListAlertsRequestSchema, type MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { fingerprintOf, testNotifier } from "../../monitoring/alerts/index.ts";
import type { ListedAlert } from "../../monitoring/index.ts";
import { suggestion } from "../../nearest-name.ts";
import { createError, msFromDuration, timestampFromMs } from "../../runs/index.ts";
import type { Alerts } from "../alerts.ts";
import { ifStored } from "../if-stored.ts";
import type { MonitoringServiceOptions } from "../monitoring-service.ts";
import { ownerOf } from "../owner-of.ts";
import { createPageToken, pageScope, parsePageToken } from "../page-token.ts";
import { AlertFeed } from "./alert-feed.ts";
import { alertMessage, changeMessage, firingStates } from "./alert-messages.ts";
import { watchMessages } from "./watch-messages.ts";
import { assertStorable, watchedAlerts } from "./watched-alerts.ts";

type AlertMethods = Pick<
  ServiceImpl<typeof MonitoringService>,
  | "listAlerts"
  | "watchAlerts"
  | "getAlertSummary"
  | "listAlertHistory"
  | "acknowledgeAlert"
  | "unacknowledgeAlert"
  | "testNotifier"
>;

const defaultPage = 100;

/** What fires, and who looks after it. */
export function alertMethods({ alerts: opened, engine }: MonitoringServiceOptions): AlertMethods {
  const { clock, random, journal, openCalls } = engine;
  const setAcknowledgement = async (alertId: string, acknowledgement: Acknowledgement | undefined): Promise<Alert> => {
    const alerts = await watchedAlerts(opened);
    assertStorable(journal);
    const found = listedBy(alerts, alertId);
    const done =
      found !== undefined && (await ifStored(alerts.engine.acknowledge(found.rule.name, found.key, acknowledgement)));
    if (!done) throw unknownAlert(alertId);
    const now = listedBy(alerts, alertId);
    if (now === undefined) throw unknownAlert(alertId);
    return alertMessage(now, alerts.silencesOf(now));
  };

  return {
    async listAlerts({ severities, states, rule, pageSize, pageToken }) {
      const alerts = await watchedAlerts(opened);
      const scope = pageScope(ListAlertsRequestSchema, create(ListAlertsRequestSchema, { severities, states, rule }));
      const limit = pageSize || defaultPage;
      const from = pageToken === "" ? 0 : Number(parsePageToken(pageToken, scope));
      const found = messages(alerts).filter(
        (alert) =>
          (severities.length === 0 || severities.includes(alert.severity)) &&
          (states.length === 0 || states.includes(alert.state)) &&
          (rule === "" || alert.rule === rule),
      );
      const page = found.slice(from, from + limit);
      const more = found.length > from + limit;
      return { alerts: page, nextPageToken: more ? createPageToken(from + limit, scope) : "" };
    },

    async *watchAlerts(_, context) {
      const alerts = await watchedAlerts(opened);
      const call = openCalls.begin(context);
      const feed = new AlertFeed(alerts, call.signal);
      try {
        yield* watchMessages(messages(alerts), [], true);
        for await (const ids of feed.changes()) {
          const current = messages(alerts);
          const here = current.filter(({ alertId }) => ids.has(alertId));
          const known = new Set(here.map(({ alertId }) => alertId));
          const gone = [...ids].filter((id) => !known.has(id));
          yield* watchMessages(here, gone, false);
        }
        call.signal.throwIfAborted();
      } finally {
        feed.close();
        openCalls.end(call);
      }
    },

    async getAlertSummary() {
      const alerts = messages(await watchedAlerts(opened));
      const count = (matches: (alert: Alert) => boolean): number => alerts.filter(matches).length;
      const fires = ({ state }: Alert): boolean => firingStates.has(state);
      return {
        critical: count((alert) => fires(alert) && alert.severity === AlertSeverity.CRITICAL),
        warning: count((alert) => fires(alert) && alert.severity === AlertSeverity.WARNING),
        pending: count(({ state }) => state === AlertState.PENDING),
        resolved: count(({ state }) => state === AlertState.RESOLVED),
        acknowledged: count((alert) => fires(alert) && alert.acknowledgement !== undefined),
        silenced: count((alert) => fires(alert) && alert.silenceIds.length > 0),
      };
    },

    async listAlertHistory({ rule, alertId, limit }) {
      const { engine: alertEngine } = await watchedAlerts(opened);
      const found = alertEngine.history.list(
        (change) =>
          (rule === "" || change.rule === rule) &&
          (alertId === "" || fingerprintOf(change.rule, change.key) === alertId),
        limit || defaultPage,
      );
      return { changes: found.map(changeMessage) };
    },

    async acknowledgeAlert({ alertId, note, duration }, context) {
      const nowMs = clock.now();
      const acknowledgement = create(AcknowledgementSchema, {
        acknowledgedBy: subjectOf(context),
        note,
        time: timestampFromMs(nowMs),
        ...(duration && { expireTime: timestampFromMs(nowMs + msFromDuration(duration)) }),
      });
      return { alert: await setAcknowledgement(alertId, acknowledgement) };
    },

    async unacknowledgeAlert({ alertId }) {
      return { alert: await setAcknowledgement(alertId, undefined) };
    },

    async testNotifier({ name }, context) {
      const { outbox } = await watchedAlerts(opened);
      const notifier = outbox.notifiers.find((each) => each.name === name);
      if (notifier === undefined) {
        const names = outbox.notifiers.map((each) => each.name);
        const hint =
          names.length === 0 ? " The configuration has none (monitoring.notifiers)." : suggestion(name, names);
        throw createError(Code.NotFound, "NOTIFIER_NOT_FOUND", `there is no notifier "${name}".${hint}`);
      }
      const call = openCalls.begin(context);
      const asked = { clock, random, requestedBy: subjectOf(context), signal: call.signal };
      const outcome = await testNotifier(notifier, asked).finally(() => openCalls.end(call));
      return outcome.kind === "delivered" ? { delivered: true } : { delivered: false, error: outcome.error };
    },
  };
}

function messages(alerts: Alerts): Alert[] {
  return alerts.engine.list().map((listed) => alertMessage(listed, alerts.silencesOf(listed)));
}

function listedBy({ engine }: Alerts, alertId: string): ListedAlert | undefined {
  return engine.list().find(({ rule, key }) => fingerprintOf(rule.name, key) === alertId);
}

function subjectOf(context: HandlerContext): string {
  return ownerOf(context).subject;
}

function unknownAlert(alertId: string) {
  return createError(
    Code.NotFound,
    "ALERT_NOT_FOUND",
    `no alert ${alertId} is on its way or fires; those that do are told by: retake alerts list`,
  );
}
