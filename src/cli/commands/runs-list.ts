import { type Run, RunSchema } from "../../../gen/retake/v1/run_pb.js";
import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { runColumns } from "../display/run-columns.ts";
import { tableLines } from "../display/table.ts";
import { ExitCode } from "../exit-code.ts";
import { type CliIo, writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { parseLimit } from "../parse-limit.ts";
import { filterFlags, parseFilter, workflowOf } from "../run-filter.ts";

const defaultLimit = 20;

export const runsList: Command = {
  description: "Lists runs, newest first. Filters are joined by “and”, states by “or”.",
  positionals: [],
  flags: {
    ...filterFlags,
    key: {
      short: "k",
      value: "KEY",
      description: "Only the newest one with this key of --workflow, yours or --owner's",
    },
    limit: { short: "n", value: "N", description: `How many at most, or all. Default: ${defaultLimit}` },
  },
  examples: [
    ["retake runs list --state open", "What is going on"],
    ["retake runs list --state failed --since 1d --limit all --json", "All failures of the last day, for a script"],
  ],
  async run(given, io) {
    const limit = parseLimit(given.value("limit") ?? String(defaultLimit), "runs");
    const filter = parseFilter(given, io);
    const key = given.value("key");
    if (key !== undefined && given.value("workflow") === undefined) {
      throw new UsageError("--key is that of a workflow: add --workflow");
    }
    using connection = await connect(given, io);
    const { retake } = connection;
    const workflow = await workflowOf(given, retake, io);
    const pageSize = Math.min(limit + 1, 500);
    const runs = retake.list(
      { ...filter, ...workflow, ...(key && { idempotencyKey: key }), pageSize },
      { signal: io.signal },
    );
    return await (given.has("json")
      ? printJson(runs, limit, new Contracts(retake, io.signal), io)
      : printTable(runs, limit, io));
  },
};

async function printJson(runs: AsyncIterable<Run>, limit: number, contracts: Contracts, io: CliIo): Promise<ExitCode> {
  let count = 0;
  for await (const run of runs) {
    if (count++ === limit) break;
    writeLines(io.stdout, JSON.stringify(await messageJson(RunSchema, run, contracts)));
  }
  return ExitCode.ok;
}

/** Rows are printed in blocks: widths are those of a block, and a list without end needs no memory. */
const rowsInBlock = 500;

async function printTable(runs: AsyncIterable<Run>, limit: number, io: CliIo): Promise<ExitCode> {
  const columns = runColumns(io.clock.now());
  const width = io.isTTY ? io.columns : Number.POSITIVE_INFINITY;
  let block: Run[] = [];
  let count = 0;
  let more = false;
  for await (const run of runs) {
    if (count === limit) {
      more = true;
      break;
    }
    count++;
    block.push(run);
    if (block.length === rowsInBlock) {
      writeLines(io.stdout, ...tableLines(columns, block, width));
      block = [];
    }
  }
  if (count === 0) writeLines(io.stderr, "No runs match.");
  if (block.length > 0) writeLines(io.stdout, ...tableLines(columns, block, width));
  if (more) writeLines(io.stderr, `There are more: --limit ${limit * 5}, or --limit all.`);
  return ExitCode.ok;
}
