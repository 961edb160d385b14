import { type Silence, SilenceSchema } from "../../../gen/retake/v1/alert_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { matcherText } from "../display/alert-text.ts";
import { plainText } from "../display/plain-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { showTime, timestampMs } from "../display/times.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const alertsSilences: Command = {
  description: "Lists silences that hold, will, or did in the last day.",
  positionals: [],
  flags: {},
  examples: [["retake alerts silences", "What is not told at the moment"]],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const { silences } = await retake.client(MonitoringService).listSilences({}, { signal: io.signal });
    if (given.has("json")) {
      const contracts = new Contracts(retake, io.signal);
      for (const silence of silences) {
        writeLines(io.stdout, JSON.stringify(await messageJson(SilenceSchema, silence, contracts)));
      }
    } else if (silences.length === 0) {
      writeLines(io.stderr, "No silences");
    } else {
      const width = io.isTTY ? io.columns : Number.POSITIVE_INFINITY;
      writeLines(io.stdout, ...tableLines(columnsAt(io.clock.now()), silences, width));
    }
    return ExitCode.ok;
  },
};

function columnsAt(nowMs: number): readonly Column<Silence>[] {
  return [
    { title: "SILENCE", cell: ({ silenceId }) => silenceId },
    { title: "STATE", cell: (silence) => stateAt(silence, nowMs) },
    { title: "UNTIL", cell: ({ endTime }) => (endTime === undefined ? "" : showTime(timestampMs(endTime))) },
    { title: "BY", cell: ({ createdBy }) => plainText(createdBy), spare: 1 },
    { title: "WHAT", cell: ({ matchers }) => matchers.map(matcherText).join(" ") },
    { title: "WHY", cell: ({ comment }) => plainText(comment), keep: "start" },
  ];
}

function stateAt({ startTime, endTime }: Silence, nowMs: number): string {
  if (endTime !== undefined && timestampMs(endTime) <= nowMs) return "over";
  return startTime !== undefined && timestampMs(startTime) > nowMs ? "to come" : "holds";
}
