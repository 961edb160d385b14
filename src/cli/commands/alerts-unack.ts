import { AlertSchema } from "../../../gen/retake/v1/alert_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const alertsUnack: Command = {
  description: "Says that nobody looks after an alert any more: it is told again as before.",
  positionals: [{ name: "ALERT", description: "its id, as `retake alerts list` shows it" }],
  flags: {},
  examples: [["retake alerts unack 4f2a90c1", "Let it be told again"]],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const request = { alertId: given.positional("ALERT") };
    const { alert } = await retake.client(MonitoringService).unacknowledgeAlert(request, { signal: io.signal });
    if (alert === undefined) return ExitCode.ok;
    const json = async () => JSON.stringify(await messageJson(AlertSchema, alert, new Contracts(retake, io.signal)));
    writeLines(io.stdout, given.has("json") ? await json() : `Nobody looks after ${alert.rule}`);
    return ExitCode.ok;
  },
};
