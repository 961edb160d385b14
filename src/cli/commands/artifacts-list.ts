import { type Artifact, ArtifactSchema } from "../../../gen/retake/v1/artifact_pb.js";
import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { showBytes } from "../display/byte-size.ts";
import { plainText } from "../display/plain-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { showTime, timestampMs } from "../display/times.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { parseLimit } from "../parse-limit.ts";
import { parseRunId } from "../run-id.ts";

const defaultLimit = 20;

export const artifactsList: Command = {
  description: "Lists artifacts, newest first.",
  positionals: [],
  flags: {
    run: { value: "RUN_ID", description: "Only those that this run keeps" },
    owner: { value: "SUBJECT", description: "Only those of this subject" },
    tenant: { value: "TENANT", description: "The tenant of --owner. Default: default" },
    limit: { short: "n", value: "N", description: `How many at most, or all. Default: ${defaultLimit}` },
  },
  examples: [["retake artifacts list --run 01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88", "What a run has taken and made"]],
  async run(given, io) {
    const limit = parseLimit(given.value("limit") ?? String(defaultLimit), "artifacts");
    const run = given.value("run");
    const subject = given.value("owner");
    const tenant = given.value("tenant");
    if (tenant !== undefined && subject === undefined) throw new UsageError("--tenant is that of --owner: give both");
    const filter = {
      ...(run === undefined ? {} : { runId: parseRunId(run) }),
      ...(subject === undefined ? {} : { owner: { subject, tenant: tenant ?? "default" } }),
    };
    using connection = await connect(given, io);
    const contracts = new Contracts(connection.retake, io.signal);
    const listed = connection.retake.artifacts.list(
      { ...filter, pageSize: Math.min(limit + 1, 500) },
      { signal: io.signal },
    );
    const block: Artifact[] = [];
    let more = false;
    let count = 0;
    for await (const artifact of listed) {
      if (count === limit) {
        more = true;
        break;
      }
      count++;
      if (given.has("json")) {
        writeLines(io.stdout, JSON.stringify(await messageJson(ArtifactSchema, artifact, contracts)));
        continue;
      }
      block.push(artifact);
      if (block.length === rowsInBlock) writeLines(io.stdout, ...tableLines(columns, block.splice(0), widthOf(io)));
    }
    if (given.has("json")) return ExitCode.ok;
    if (count === 0) writeLines(io.stderr, "No artifacts match.");
    if (block.length > 0) writeLines(io.stdout, ...tableLines(columns, block, widthOf(io)));
    if (more) writeLines(io.stderr, `There are more: --limit ${limit * 5}, or --limit all.`);
    return ExitCode.ok;
  },
};

/** Widths are those of a block, and a list without end needs no memory. */
const rowsInBlock = 500;

const columns: readonly Column<Artifact>[] = [
  // Whole, so that it can be copied.
  { title: "ARTIFACT", cell: ({ artifactId }) => artifactId },
  { title: "STORED", cell: ({ createTime }) => (createTime === undefined ? "" : showTime(timestampMs(createTime))) },
  { title: "SIZE", cell: ({ size }) => showBytes(Number(size)) },
  { title: "TYPE", cell: ({ mediaType }) => plainText(mediaType) },
  { title: "NAME", cell: ({ name }) => plainText(name), keep: "start" },
];

function widthOf({ isTTY, columns: width }: { readonly isTTY: boolean; readonly columns: number }): number {
  return isTTY ? width : Number.POSITIVE_INFINITY;
}
