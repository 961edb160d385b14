import {
  AlertRuleOrigin,
  type ListedAlertRule,
  ListedAlertRuleSchema,
  MonitoringService,
} from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { plainText } from "../display/plain-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const rulesList: Command = {
  description: "Lists the alert rules of the server, and where they come from.",
  positionals: [],
  flags: {},
  examples: [["retake rules list", "When people are told that something is wrong"]],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const { rules } = await retake.client(MonitoringService).listAlertRules({}, { signal: io.signal });
    if (given.has("json")) {
      const contracts = new Contracts(retake, io.signal);
      for (const rule of rules) {
        writeLines(io.stdout, JSON.stringify(await messageJson(ListedAlertRuleSchema, rule, contracts)));
      }
    } else {
      const width = io.isTTY ? io.columns : Number.POSITIVE_INFINITY;
      writeLines(io.stdout, ...tableLines(columns, rules, width));
    }
    return ExitCode.ok;
  },
};

const columns: readonly Column<ListedAlertRule>[] = [
  { title: "RULE", cell: ({ rule }) => plainText(rule?.name ?? "") },
  { title: "FROM", cell: ({ origin }) => origins[origin] },
  { title: "WARNING", cell: ({ rule }) => (rule?.disabled ? "disabled" : (rule?.warning?.at.toString() ?? "")) },
  { title: "CRITICAL", cell: ({ rule }) => rule?.critical?.at.toString() ?? "" },
  { title: "SAYS", cell: ({ rule }) => plainText(rule?.annotations["summary"] ?? ""), keep: "start", spare: 1 },
];

const origins: Readonly<Record<AlertRuleOrigin, string>> = {
  [AlertRuleOrigin.UNSPECIFIED]: "",
  [AlertRuleOrigin.BUILT_IN]: "built in",
  [AlertRuleOrigin.CONFIGURATION]: "configuration",
  [AlertRuleOrigin.SET]: "set",
};
