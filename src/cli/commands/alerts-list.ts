import { type Alert, AlertSchema } from "../../../gen/retake/v1/alert_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { RetakeClient } from "../../client/index.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { alertStateText, alertWhy } from "../display/alert-text.ts";
import { plainText } from "../display/plain-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { showTime, timestampMs } from "../display/times.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { parseSeverity, parseState } from "../parse-alert.ts";

export const alertsList: Command = {
  description:
    "Lists alerts that are on their way, fire, or are over since no longer than 15 minutes, the worst first.",
  positionals: [],
  flags: {
    severity: { value: "SEVERITY", multiple: true, description: "Only warning, or critical" },
    state: { value: "STATE", multiple: true, description: "Only pending, firing, recovering or resolved" },
    rule: { value: "NAME", description: "Only those of this rule" },
  },
  examples: [
    ["retake alerts list", "What is wrong at the moment"],
    ["retake alerts list --severity critical --state firing", "What is very wrong"],
  ],
  async run(given, io) {
    const severities = given.values("severity").map((text) => parseSeverity("--severity", text));
    const states = given.values("state").map((text) => parseState("--state", text));
    const rule = given.value("rule") ?? "";
    using connection = await connect(given, io);
    const { retake } = connection;
    const found: Alert[] = [];
    for await (const alert of listAlerts(retake, { severities, states, rule }, io.signal)) found.push(alert);
    if (given.has("json")) {
      const contracts = new Contracts(retake, io.signal);
      for (const alert of found) {
        writeLines(io.stdout, JSON.stringify(await messageJson(AlertSchema, alert, contracts)));
      }
    } else if (found.length === 0) {
      writeLines(io.stderr, "No alerts");
    } else {
      const width = io.isTTY ? io.columns : Number.POSITIVE_INFINITY;
      writeLines(io.stdout, ...tableLines(columns, found, width));
    }
    return ExitCode.ok;
  },
};

const columns: readonly Column<Alert>[] = [
  { title: "ALERT", cell: ({ alertId }) => alertId },
  { title: "STATE", cell: alertStateText },
  { title: "RULE", cell: ({ rule }) => plainText(rule) },
  {
    title: "SINCE",
    cell: ({ activeTime }) => (activeTime === undefined ? "" : showTime(timestampMs(activeTime))),
    spare: 1,
  },
  { title: "WHY", cell: alertWhy, keep: "start" },
];

async function* listAlerts(
  retake: RetakeClient,
  filter: { severities: Alert["severity"][]; states: Alert["state"][]; rule: string },
  signal: AbortSignal,
): AsyncGenerator<Alert> {
  const monitoring = retake.client(MonitoringService);
  let pageToken = "";
  do {
    const page = await monitoring.listAlerts({ ...filter, pageToken, pageSize: 1000 }, { signal });
    yield* page.alerts;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}
