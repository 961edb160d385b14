import { create } from "@bufbuild/protobuf";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import {
  AlertRuleOrigin,
  type ListedAlertRule,
  ListedAlertRuleSchema,
  type MonitoringService,
} from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { ListedRule, RuleOrigin } from "../../monitoring/index.ts";
import { createError, JournalUnavailableError } from "../../runs/index.ts";
import { unloweredWorkflow } from "../alert-workflows.ts";
import { ifStored } from "../if-stored.ts";
import type { MonitoringServiceOptions } from "../monitoring-service.ts";
import { ownerOf } from "../owner-of.ts";
import { assertStorable, watchedAlerts } from "./watched-alerts.ts";

type RuleMethods = Pick<ServiceImpl<typeof MonitoringService>, "listAlertRules" | "setAlertRule" | "deleteAlertRule">;

/** From which numbers on there is an alert. */
export function alertRuleMethods({ alerts: opened, engine }: MonitoringServiceOptions): RuleMethods {
  return {
    async listAlertRules() {
      return { rules: (await watchedAlerts(opened)).rules.list().map(ruleMessage) };
    },

    async setAlertRule({ rule }, context) {
      const alerts = await watchedAlerts(opened);
      assertStorable(engine.journal);
      if (rule === undefined) return {};
      if (!alerts.rules.hasRoomFor(rule.name)) {
        throw createError(
          Code.ResourceExhausted,
          "TOO_MANY_ALERT_RULES",
          "there is no room for one more rule: delete one, or put rules into the configuration (monitoring.rules)",
        );
      }
      const lowered = rule.disabled ? "" : (rule.lowerQuality?.workflow ?? "");
      const unlowered = lowered === "" ? undefined : unloweredWorkflow(lowered, engine.contracts.workflows);
      if (unlowered !== undefined) {
        const message = `rule ${rule.name}: lower_quality.workflow: ${unlowered}`;
        throw createError(Code.InvalidArgument, "INVALID_ALERT_RULE", message);
      }
      let listed: ListedRule;
      try {
        listed = await alerts.rules.set(rule, ownerOf(context).subject);
      } catch (error) {
        if (error instanceof JournalUnavailableError) return ifStored(Promise.reject(error));
        const message = `rule ${rule.name}: ${(error as Error).message}`;
        throw createError(Code.InvalidArgument, "INVALID_ALERT_RULE", message);
      }
      await alerts.followRules();
      return { rule: ruleMessage(listed) };
    },

    async deleteAlertRule({ name }, context) {
      const alerts = await watchedAlerts(opened);
      assertStorable(engine.journal);
      if (!(await ifStored(alerts.rules.delete(name, ownerOf(context).subject)))) {
        throw createError(
          Code.NotFound,
          "ALERT_RULE_NOT_FOUND",
          `no rule ${name} was set while the server runs; to leave one out that is built in, name it in monitoring.disabled_rules, or set it with disabled: true`,
        );
      }
      await alerts.followRules();
      const left = alerts.rules.get(name);
      return left === undefined ? {} : { rule: ruleMessage(left) };
    },
  };
}

function ruleMessage({ message, origin }: ListedRule): ListedAlertRule {
  return create(ListedAlertRuleSchema, { rule: message, origin: origins[origin] });
}

const origins: Readonly<Record<RuleOrigin, AlertRuleOrigin>> = {
  built_in: AlertRuleOrigin.BUILT_IN,
  configuration: AlertRuleOrigin.CONFIGURATION,
  set: AlertRuleOrigin.SET,
};
