import { create } from "@bufbuild/protobuf";
import { RunSchema, RunState } from "../../../gen/retake/v1/run_pb.js";
import { isTerminal } from "../../client/index.ts";
import type { Arguments } from "../arguments.ts";
import { allPages, bulkFilter, bulkFlags, isBulk, tellDryRun } from "../bulk.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { counted } from "../display/event-text.ts";
import { ExitCode } from "../exit-code.ts";
import { type CliIo, writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { parseRunId, runIdPositional } from "../run-id.ts";

export const runsCancel: Command = {
  description: [
    "Asks a run to stop, or all open runs that a filter names. Asking again, or too late, changes nothing. With a filter it",
    "shows what would be cancelled, and does it with --yes. Children are meant by --parent only: they end with their parent.",
  ].join(" "),
  positionals: [{ ...runIdPositional, optional: true }],
  flags: { reason: { value: "TEXT", description: "Why, for the run's history" }, ...bulkFlags },
  examples: [
    ['retake runs cancel 01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88 --reason "wrong prompt"', "Stop a run"],
    ["retake runs cancel --workflow Animatic --state queued", "See which runs would be stopped"],
    ["retake runs cancel --workflow Animatic --state queued --yes", "Stop them"],
  ],
  async run(given, io) {
    if (isBulk(given)) return await cancelMany(given, io);
    const runId = parseRunId(given.positional("RUN_ID"));
    using connection = await connect(given, io);
    const { retake } = connection;
    const run = await retake.attach(runId).cancel(given.value("reason") ?? "", { signal: io.signal });
    if (given.has("json")) {
      const contracts = new Contracts(retake, io.signal);
      writeLines(io.stdout, JSON.stringify(await messageJson(RunSchema, create(RunSchema, run), contracts)));
      return ExitCode.ok;
    }
    writeLines(io.stdout, `${runId} ${RunState[run.state]}`);
    if (!isTerminal(run.state)) {
      writeLines(io.stderr, `It stops as soon as its back-end does. See: ${connection.commandLine("watch", runId)}`);
    } else if (run.state !== RunState.CANCELLED) {
      writeLines(io.stderr, "It had ended before.");
    }
    return ExitCode.ok;
  },
};

async function cancelMany(given: Arguments, io: CliIo): Promise<ExitCode> {
  const force = given.has("yes");
  const reason = given.value("reason") ?? "";
  using connection = await connect(given, io);
  const { runs } = connection.retake;
  const filter = await bulkFilter(given, connection, io);
  const total = await allPages(
    (pageToken) => runs.cancelRuns({ filter, force, reason, pageToken, pageSize }, { signal: io.signal }),
    io,
  );
  const cancelled = total.pages.reduce((sum, page) => sum + page.cancelled, 0);
  if (given.has("json")) writeLines(io.stdout, JSON.stringify({ matched: total.matched, cancelled }));
  else if (force) writeLines(io.stdout, `${counted(cancelled, "run")} asked to stop`);
  else tellDryRun(total, "cancelled", io);
  return ExitCode.ok;
}

const pageSize = 500;
