import { AlertSchema } from "../../../gen/retake/v1/alert_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { alertStateText, alertWhy } from "../display/alert-text.ts";
import { showTime } from "../display/times.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { keepWatching, tellLost } from "../keep-watching.ts";
import { messageJson } from "../message-json.ts";

export const alertsWatch: Command = {
  description:
    "Follows alerts, a line for each that there is, and then for each that changes, until it is interrupted. " +
    "A server that goes away is waited for.",
  positionals: [],
  flags: {},
  examples: [["retake alerts watch", "See alerts come and go"]],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const json = given.has("json");
    const contracts = new Contracts(retake, io.signal);
    const client = retake.client(MonitoringService);
    /** Of each alert what was told last: after a lost connection all of them come again. */
    const told = new Map<string, string>();
    await keepWatching(
      () => client.watchAlerts({}, { signal: io.signal }),
      {
        async show({ alerts, goneAlertIds }) {
          for (const alert of alerts) {
            const text = `${alert.alertId}  ${alertStateText(alert)}  ${alert.rule}  ${alertWhy(alert)}`;
            const line = json ? JSON.stringify(await messageJson(AlertSchema, alert, contracts)) : text;
            if (told.get(alert.alertId) === line) continue;
            told.set(alert.alertId, line);
            writeLines(io.stdout, json ? line : `${showTime(io.clock.now())}  ${line}`);
          }
          for (const alertId of goneAlertIds) told.delete(alertId);
        },
        lost: (why) => tellLost(why, io),
      },
      io,
    );
    return ExitCode.ok;
  },
};
