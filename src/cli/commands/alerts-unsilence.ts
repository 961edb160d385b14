import { SilenceSchema } from "../../../gen/retake/v1/alert_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const alertsUnsilence: Command = {
  description: "Ends a silence: what it has kept quiet, and still fires, is told at once.",
  positionals: [{ name: "SILENCE", description: "its id, as `retake alerts silences` shows it" }],
  flags: {},
  examples: [["retake alerts unsilence 4f2a90c1d2e3f405", "Let alerts be told again"]],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const request = { silenceId: given.positional("SILENCE") };
    const { silence } = await retake.client(MonitoringService).expireSilence(request, { signal: io.signal });
    if (silence === undefined) return ExitCode.ok;
    const json = async () =>
      JSON.stringify(await messageJson(SilenceSchema, silence, new Contracts(retake, io.signal)));
    writeLines(io.stdout, given.has("json") ? await json() : `Silence ${silence.silenceId} is over`);
    return ExitCode.ok;
  },
};
