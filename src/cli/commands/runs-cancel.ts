import { create } from "@bufbuild/protobuf";
import { RunSchema, RunState } from "../../../gen/retake/v1/run_pb.js";
import { isTerminal } from "../../client/index.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { parseRunId, runIdPositional } from "../run-id.ts";

export const runsCancel: Command = {
  description: "Asks a run to stop. Asking again, or too late, changes nothing.",
  positionals: [runIdPositional],
  flags: { reason: { value: "TEXT", description: "Why, for the run's history" } },
  examples: [['retake runs cancel 01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88 --reason "wrong prompt"', "Stop a run"]],
  async run(given, io) {
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
