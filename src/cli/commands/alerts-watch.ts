import { AlertSchema } from "../../../gen/retake/v1/alert_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { alertStateText, alertWhy } from "../display/alert-text.ts";
import { showTime } from "../display/times.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const alertsWatch: Command = {
  description:
    "Follows alerts, a line for each that there is, and then for each that changes, until it is interrupted.",
  positionals: [],
  flags: {},
  examples: [["retake alerts watch", "See alerts come and go"]],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const contracts = new Contracts(retake, io.signal);
    for await (const { alerts } of retake.client(MonitoringService).watchAlerts({}, { signal: io.signal })) {
      for (const alert of alerts) {
        const line = given.has("json")
          ? JSON.stringify(await messageJson(AlertSchema, alert, contracts))
          : `${showTime(io.clock.now())}  ${alert.alertId}  ${alertStateText(alert)}  ${alert.rule}  ${alertWhy(alert)}`;
        writeLines(io.stdout, line);
      }
    }
    return ExitCode.ok;
  },
};
