import {
  type AlertChange,
  AlertChangeSchema,
  MonitoringService,
} from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { alertStateText, labelsText } from "../display/alert-text.ts";
import { plainText } from "../display/plain-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { showTime, timestampMs } from "../display/times.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const alertsHistory: Command = {
  description: "Tells how alerts have moved, newest first: the last 1,000 changes.",
  positionals: [],
  flags: { rule: { value: "NAME", description: "Only those of this rule" } },
  examples: [["retake alerts history --rule RetakeErrorRate", "When runs have failed"]],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const request = { rule: given.value("rule") ?? "", limit: 1000 };
    const { changes } = await retake.client(MonitoringService).listAlertHistory(request, { signal: io.signal });
    if (given.has("json")) {
      const contracts = new Contracts(retake, io.signal);
      for (const change of changes) {
        writeLines(io.stdout, JSON.stringify(await messageJson(AlertChangeSchema, change, contracts)));
      }
    } else if (changes.length === 0) {
      writeLines(io.stderr, "No alert has moved");
    } else {
      const width = io.isTTY ? io.columns : Number.POSITIVE_INFINITY;
      writeLines(io.stdout, ...tableLines(columns, changes, width));
    }
    return ExitCode.ok;
  },
};

const columns: readonly Column<AlertChange>[] = [
  { title: "TIME", cell: ({ time }) => (time === undefined ? "" : showTime(timestampMs(time))) },
  { title: "STATE", cell: alertStateText },
  { title: "RULE", cell: ({ rule }) => plainText(rule) },
  { title: "VALUE", cell: ({ value }) => (value === undefined ? "" : String(Number(value.toPrecision(4)))) },
  { title: "LABELS", cell: ({ labels }) => plainText(labelsText(labels)), keep: "start" },
];
