import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { AlertSchema } from "../../../gen/retake/v1/alert_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { parseDuration } from "../parse-time.ts";

export const alertsAck: Command = {
  description: [
    "Says that you look after an alert: nobody is told of it again until it gets worse, or for as long as --for says.",
    "PagerDuty hears of it too.",
  ].join(" "),
  positionals: [{ name: "ALERT", description: "its id, as `retake alerts list` shows it" }],
  flags: {
    note: { value: "TEXT", description: "What you have to say about it" },
    for: { value: "DURATION", description: "Until then: 30m, 2h. Default: as long as the alert lasts" },
  },
  examples: [['retake alerts ack 4f2a90c1 --note "new disk on its way" --for 2h', "Look after an alert"]],
  async run(given, io) {
    const alertId = given.positional("ALERT");
    const text = given.value("for");
    const durationMs = text === undefined ? undefined : Math.round(parseDuration("--for", text));
    using connection = await connect(given, io);
    const { retake } = connection;
    const { alert } = await retake.client(MonitoringService).acknowledgeAlert(
      {
        ...{ alertId, note: given.value("note") ?? "" },
        ...(durationMs === undefined ? {} : { duration: durationFromMs(durationMs) }),
      },
      { signal: io.signal },
    );
    if (alert === undefined) return ExitCode.ok;
    if (given.has("json")) {
      writeLines(io.stdout, JSON.stringify(await messageJson(AlertSchema, alert, new Contracts(retake, io.signal))));
    } else {
      writeLines(io.stdout, `${alert.acknowledgement?.acknowledgedBy} looks after ${alert.rule}`);
      writeLines(io.stderr, `Take it back: ${connection.commandLine("alerts", "unack", alertId)}`);
    }
    return ExitCode.ok;
  },
};
