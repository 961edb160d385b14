import { create } from "@bufbuild/protobuf";
import { RunSchema } from "../../../gen/retake/v1/run_pb.js";
import type { Arguments } from "../arguments.ts";
import { allPages, bulkFilter, bulkFlags, isBulk, tellDryRun } from "../bulk.ts";
import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { counted } from "../display/event-text.ts";
import { failureText } from "../display/failure-text.ts";
import { ExitCode } from "../exit-code.ts";
import { followFlags } from "../follow-run.ts";
import { type CliIo, writeLines } from "../io.ts";
import { parseRunId, runIdPositional } from "../run-id.ts";
import { planFollowing, tellStarted } from "../started-run.ts";

export const runsRerun: Command = {
  description: [
    "Starts a new run with the input of one that has ended, and prints its id, or one for each ended run that a filter",
    "names. Steps that were done are kept. With a filter it shows what would be rerun, those that did not succeed where no",
    "state is given, and does it with --yes. Children are meant by --parent only.",
  ].join(" "),
  positionals: [{ ...runIdPositional, optional: true }],
  flags: {
    key: { short: "k", value: "KEY", description: "Idempotency key: the same call again joins the new run" },
    "discard-steps": { description: "Execute every step again" },
    watch: { short: "w", description: "Follow the run to its end" },
    ...followFlags,
    ...bulkFlags,
    batch: {
      value: "ID",
      description:
        "With a filter: under one id, each run is rerun once, however often this is called. Default: a new one",
    },
  },
  examples: [
    ["retake runs rerun --state failed --since 1d --yes", "Try again what has failed since yesterday"],
    ["retake runs rerun 01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88 --watch", "Try again, and see how it goes"],
  ],
  async run(given, io) {
    if (isBulk(given)) return await rerunMany(given, io);
    if (given.has("batch")) throw new UsageError("--batch is that of a filter: a run alone takes --key");
    const runId = parseRunId(given.positional("RUN_ID"));
    const following = await planFollowing(given);
    using connection = await connect(given, io);
    const { retake } = connection;
    const request = { runId, idempotencyKey: given.value("key") ?? "", discardSteps: given.has("discard-steps") };
    const { run = create(RunSchema) } = await retake.runs.rerunRun(request, { signal: io.signal });
    const contracts = new Contracts(retake, io.signal);
    return await tellStarted({ run, joined: false, connection, contracts, following }, io);
  },
};

async function rerunMany(given: Arguments, io: CliIo): Promise<ExitCode> {
  for (const flag of ["key", "watch", "quiet", "output"]) {
    if (given.has(flag)) throw new UsageError(`--${flag} is about one run: it goes with a RUN_ID, not with a filter`);
  }
  const force = given.has("yes");
  const batch = given.value("batch") ?? newBatch(io);
  using connection = await connect(given, io);
  const { runs } = connection.retake;
  const filter = await bulkFilter(given, connection, io);
  const request = { filter, force, batch, discardSteps: given.has("discard-steps"), pageSize };
  if (force)
    writeLines(io.stderr, `Batch ${batch}: with --batch ${batch}, the same again goes on where it has stopped.`);
  const total = await allPages((pageToken) => runs.rerunRuns({ ...request, pageToken }, { signal: io.signal }), io);
  const started = total.pages.reduce((sum, page) => sum + page.started, 0);
  const refusals = total.pages.flatMap((page) => page.refusals);
  if (given.has("json")) {
    const refused = refusals.map(({ runId, failure }) => ({
      runId,
      reason: failure?.reason,
      message: failure?.message,
    }));
    writeLines(io.stdout, JSON.stringify({ batch, matched: total.matched, started, refused }));
  } else if (force) {
    writeLines(io.stdout, `${counted(started, "run")} started, of ${total.matched} that match`);
    writeLines(io.stderr, ...refusals.map(({ runId, failure }) => `${runId}: ${failureText(failure)}`));
  } else {
    tellDryRun(total, "rerun", io);
  }
  return refusals.length > 0 ? ExitCode.refused : ExitCode.ok;
}

function newBatch({ random }: CliIo): string {
  const bytes = new Uint8Array(12);
  random.fill(bytes);
  return Buffer.from(bytes).toString("hex");
}

const pageSize = 100;
