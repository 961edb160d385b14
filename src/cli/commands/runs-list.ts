import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Run, RunSchema, RunState } from "../../../gen/retake/v1/run_pb.js";
import { isTerminal, type RunFilter } from "../../client/index.ts";
import { suggestion } from "../../nearest-name.ts";
import type { Arguments } from "../arguments.ts";
import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { failureText } from "../display/failure-text.ts";
import { plainText } from "../display/plain-text.ts";
import { progressText } from "../display/progress-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { durationMs, showDistance, showDuration, showTime, timestampMs } from "../display/times.ts";
import { ExitCode } from "../exit-code.ts";
import { findWorkflow } from "../find-workflow.ts";
import { type CliIo, writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { parseLimit } from "../parse-limit.ts";
import { parseTime } from "../parse-time.ts";
import { parseRunId } from "../run-id.ts";

const defaultLimit = 20;

export const runsList: Command = {
  description: "Lists runs, newest first. Filters are joined by “and”, states by “or”.",
  positionals: [],
  flags: {
    workflow: { value: "WORKFLOW", description: "Only of this workflow; the end of its name does" },
    state: {
      short: "s",
      value: "STATE",
      multiple: true,
      description: "Only in this state: queued, running, …, or open, or ended",
    },
    since: { value: "TIME", description: "Only those accepted since: 2h (so long ago), 2026-11-22, 2026-11-22T10:00" },
    before: { value: "TIME", description: "Only those accepted before" },
    parent: { value: "RUN_ID", description: "Only children of this run" },
    owner: { value: "SUBJECT", description: "Only those that this subject started" },
    tenant: { value: "TENANT", description: "The tenant of --owner. Default: default" },
    limit: { short: "n", value: "N", description: `How many at most, or all. Default: ${defaultLimit}` },
  },
  examples: [
    ["retake runs list --state open", "What is going on"],
    ["retake runs list --state failed --since 1d --limit all --json", "All failures of the last day, for a script"],
  ],
  async run(given, io) {
    const limit = parseLimit(given.value("limit") ?? String(defaultLimit), "runs");
    const states = given.values("state").flatMap(parseStates);
    const filter = { ...filterOf(given, io), ...(states.length === 0 ? {} : { states: [...new Set(states)] }) };
    using connection = await connect(given, io);
    const { retake } = connection;
    const name = given.value("workflow");
    const workflow = name === undefined ? {} : { workflow: await findWorkflow(name, retake, io.signal) };
    const pageSize = Math.min(limit + 1, 500);
    const runs = retake.list({ ...filter, ...workflow, pageSize }, { signal: io.signal });
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
  const columns = columnsAt(io.clock.now());
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

function columnsAt(nowMs: number): Column<Run>[] {
  return [
    // Whole, so that it can be copied.
    { title: "RUN", cell: ({ runId }) => runId },
    { title: "STATE", cell: ({ state }) => RunState[state] },
    {
      title: "ACCEPTED",
      cell: ({ createTime }) => (createTime === undefined ? "" : showTime(timestampMs(createTime))),
    },
    { title: "TOOK", cell: (run) => took(run, nowMs) },
    { title: "WORKFLOW", cell: ({ workflow }) => workflow, keep: "end" },
    { title: "MORE", cell: (run) => more(run, nowMs), keep: "start" },
  ];
}

function took({ createTime, endTime }: Run, nowMs: number): string {
  if (createTime === undefined) return "";
  return showDuration(Math.max(0, (endTime === undefined ? nowMs : timestampMs(endTime)) - timestampMs(createTime)));
}

function more(run: Run, nowMs: number): string {
  const { state, wait, progress, failure, cancelReason, statistics } = run;
  switch (state) {
    case RunState.RUNNING:
      return progressText(progress) || `attempt ${statistics?.attempts ?? 1}`;
    case RunState.QUEUED:
    case RunState.BACKING_OFF:
    case RunState.PARKED: {
      if (wait === undefined) return "";
      const due = wait.notBefore === undefined ? "" : ` (${showDistance(timestampMs(wait.notBefore), nowMs)})`;
      return `${plainText(wait.reason)}${due}`;
    }
    case RunState.FAILED:
      return failureText(failure);
    case RunState.CANCELLING:
    case RunState.CANCELLED:
      return plainText(cancelReason);
    case RunState.SUCCEEDED:
      return statistics?.executionTime === undefined ? "" : `ran ${showDuration(durationMs(statistics.executionTime))}`;
    default:
      return "";
  }
}

function filterOf(given: Arguments, io: CliIo): RunFilter {
  const since = given.value("since");
  const before = given.value("before");
  const parent = given.value("parent");
  const subject = given.value("owner");
  const tenant = given.value("tenant");
  if (tenant !== undefined && subject === undefined) throw new UsageError("--tenant is that of --owner: give both");
  const nowMs = io.clock.now();
  return {
    ...(since === undefined ? {} : { createdSince: timestampFromMs(Math.round(parseTime("--since", since, nowMs))) }),
    ...(before === undefined
      ? {}
      : { createdBefore: timestampFromMs(Math.round(parseTime("--before", before, nowMs))) }),
    ...(parent === undefined ? {} : { parentRunId: parseRunId(parent) }),
    ...(subject === undefined ? {} : { owner: { subject, tenant: tenant ?? "default" } }),
  };
}

const allStates = Object.values(RunState).filter((state): state is RunState => typeof state === "number" && state > 0);

/** States, and words for several of them. */
const stateNames: ReadonlyMap<string, readonly RunState[]> = new Map<string, readonly RunState[]>([
  ["open", allStates.filter((state) => !isTerminal(state))],
  ["ended", allStates.filter(isTerminal)],
  ...allStates.map((state) => [RunState[state].toLowerCase(), [state]] as const),
]);

function parseStates(text: string): readonly RunState[] {
  const states = stateNames.get(text.toLowerCase().replaceAll("-", "_"));
  if (states !== undefined) return states;
  const known = [...stateNames.keys()];
  throw new UsageError(`--state: there is no "${text}", only ${known.join(", ")}.${suggestion(text, known)}`);
}
