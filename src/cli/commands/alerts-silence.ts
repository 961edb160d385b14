import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { SilenceSchema } from "../../../gen/retake/v1/alert_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { showTime, timestampMs } from "../display/times.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { parseMatcher } from "../parse-alert.ts";
import { parseDuration } from "../parse-time.ts";

const defaultFor = "1h";

export const alertsSilence: Command = {
  description: [
    "Keeps alerts from being told for a time: those whose labels match. They are listed all the same, and those that were told",
    "are told to be over once they are. A second matcher, and further ones, go into --and.",
  ].join(" "),
  positionals: [
    { name: "MATCHER", description: 'a label and what it is: alertname=NAME, queue=~"a|b", severity!=critical' },
  ],
  flags: {
    and: { value: "MATCHER", multiple: true, description: "Only those that match this too" },
    for: { value: "DURATION", description: `How long: 30m, 2h. Default: ${defaultFor}` },
    comment: { value: "TEXT", description: "Why, for those who wonder" },
  },
  examples: [
    [
      'retake alerts silence alertname=RetakeDiskSpace --for 2h --comment "a disk is moved"',
      "Keep a rule quiet for two hours",
    ],
  ],
  async run(given, io) {
    const matchers = [given.positional("MATCHER"), ...given.values("and")].map(parseMatcher);
    const durationMs = Math.round(parseDuration("--for", given.value("for") ?? defaultFor));
    using connection = await connect(given, io);
    const { retake } = connection;
    const { silence } = await retake
      .client(MonitoringService)
      .setSilence(
        { silence: { matchers, comment: given.value("comment") ?? "" }, duration: durationFromMs(durationMs) },
        { signal: io.signal },
      );
    if (silence === undefined) return ExitCode.ok;
    if (given.has("json")) {
      const json = await messageJson(SilenceSchema, silence, new Contracts(retake, io.signal));
      writeLines(io.stdout, JSON.stringify(json));
      return ExitCode.ok;
    }
    const until = silence.endTime === undefined ? "" : ` until ${showTime(timestampMs(silence.endTime))}`;
    writeLines(io.stdout, `Silence ${silence.silenceId} holds${until}`);
    writeLines(io.stderr, `End it: ${connection.commandLine("alerts", "unsilence", silence.silenceId)}`);
    return ExitCode.ok;
  },
};
