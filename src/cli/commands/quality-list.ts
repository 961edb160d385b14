import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import { type QualityLevel, QualityLevelSchema } from "../../../gen/retake/v1/quality_level_pb.js";
import type { RetakeClient } from "../../client/index.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { qualityCause, qualityOutlook } from "../display/quality-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { showTime, timestampMs } from "../display/times.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const qualityList: Command = {
  description: [
    "Tells how much of their requests the runs of each workflow ask for at the moment, why, and when that changes. Only",
    "workflows whose contract or policy says what a lower quality is are listed.",
  ].join(" "),
  positionals: [],
  flags: {},
  examples: [["retake quality list", "What runs ask for"]],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const contracts = new Contracts(retake, io.signal);
    const found: QualityLevel[] = [];
    for await (const level of listLevels(retake, io.signal)) found.push(level);
    if (given.has("json")) {
      for (const level of found) {
        writeLines(io.stdout, JSON.stringify(await messageJson(QualityLevelSchema, level, contracts)));
      }
    } else if (found.length === 0) {
      writeLines(io.stderr, "No workflow of this server can ask for less: see `quality` in retake/v1/options.proto");
    } else {
      const width = io.isTTY ? io.columns : Number.POSITIVE_INFINITY;
      writeLines(io.stdout, ...tableLines(columnsAt(io.clock.now()), found, width));
    }
    return ExitCode.ok;
  },
};

function columnsAt(nowMs: number): readonly Column<QualityLevel>[] {
  return [
    { title: "WORKFLOW", cell: ({ workflow }) => workflow, keep: "end" },
    { title: "QUALITY", cell: ({ level }) => Quality[level] },
    {
      title: "SINCE",
      cell: ({ sinceTime }) => (sinceTime === undefined ? "" : showTime(timestampMs(sinceTime))),
      spare: 1,
    },
    { title: "NEXT", cell: (level) => qualityOutlook(level, nowMs) },
    { title: "WHY", cell: qualityCause, keep: "start" },
  ];
}

async function* listLevels(retake: RetakeClient, signal: AbortSignal): AsyncGenerator<QualityLevel> {
  const admin = retake.client(AdminService);
  let pageToken = "";
  do {
    const page = await admin.listQualityLevels({ pageToken, pageSize: 1000 }, { signal });
    yield* page.levels;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}
