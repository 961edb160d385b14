import { MonitoringService, TestNotifierResponseSchema } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { CliError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const notifiersTest: Command = {
  description:
    "Lets the server tell a notifier of an alert that there is not, and that it is over, and says what came of it.",
  positionals: [{ name: "NAME", description: "its name in the configuration (monitoring.notifiers)" }],
  flags: {},
  examples: [["retake notifiers test pager", "See whether alerts would reach the pager"]],
  async run(given, io) {
    const name = given.positional("NAME");
    using connection = await connect(given, io);
    const { retake } = connection;
    const outcome = await retake.client(MonitoringService).testNotifier({ name }, { signal: io.signal });
    if (given.has("json")) {
      const json = await messageJson(TestNotifierResponseSchema, outcome, new Contracts(retake, io.signal));
      writeLines(io.stdout, JSON.stringify(json));
      return outcome.delivered ? ExitCode.ok : ExitCode.refused;
    }
    if (!outcome.delivered) throw new CliError(`${name} has not taken the test: ${outcome.error}`, ExitCode.refused);
    writeLines(io.stdout, `${name} has taken the test`);
    return ExitCode.ok;
  },
};
