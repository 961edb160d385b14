import { type Run, type RunEvent, RunSchema } from "../../../gen/retake/v1/run_pb.js";
import { RunView } from "../../../gen/retake/v1/run_service_pb.js";
import { isTerminal, type RunHandle } from "../../client/index.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { runLines } from "../display/run-lines.ts";
import { timelineLines, timelineOf } from "../display/timeline.ts";
import { showsUnicode } from "../display/unicode.ts";
import { ExitCode } from "../exit-code.ts";
import { type CliIo, writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { outputFlag, parseOutputs } from "../output-file.ts";
import { parseRunId, runIdPositional } from "../run-id.ts";
import { eventLine } from "../run-viewers.ts";
import { showPayload, showResult } from "../show-result.ts";

export const runsGet: Command = {
  description: [
    "Shows a run: what it waits for and why, its input, its result or failure, what took how long, and its history",
    "(samples of its progress left out).",
  ].join(" "),
  positionals: [runIdPositional],
  flags: { output: outputFlag },
  examples: [["retake runs get 01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88", "What happened to a run"]],
  async run(given, io) {
    const runId = parseRunId(given.positional("RUN_ID"));
    const outputs = await parseOutputs(given.values("output"));
    using connection = await connect(given, io);
    const handle = connection.retake.attach(runId);
    const contracts = new Contracts(connection.retake, io.signal);
    const run = await handle.get({ view: RunView.FULL, signal: io.signal });
    if (outputs.length > 0) await showResult(run.result, outputs, contracts, io);
    if (given.has("json")) {
      writeLines(io.stdout, JSON.stringify(await messageJson(RunSchema, run, contracts)));
      return ExitCode.ok;
    }
    writeLines(io.stdout, ...runLines(run, io.clock.now()));
    writeLines(io.stdout, "", "Input:");
    await showPayload("input", run.input, contracts, io, { short: true });
    if (run.result !== undefined && outputs.length === 0) {
      writeLines(io.stdout, "", "Result:");
      await showPayload("result", run.result, contracts, io, { short: true });
    }
    const events = await historyOf(handle, run, io);
    const rows = timelineOf(events);
    if (rows.length > 0) {
      const options = {
        nowMs: io.clock.now(),
        width: (io.isTTY ? io.columns : 100) - 2,
        unicode: showsUnicode(io.env),
      };
      writeLines(io.stdout, "", "Timeline:", ...timelineLines(rows, options).map((line) => `  ${line}`));
    }
    writeLines(io.stdout, "", "History:", ...events.map((event) => `  ${eventLine(event)}`));
    if (!isTerminal(run.state)) {
      writeLines(
        io.stderr,
        `It goes on: ${connection.commandLine("watch", runId, "--after", String(run.lastSequence))}`,
      );
    }
    return ExitCode.ok;
  },
};

/** Up to where the run was shown; the samples of its progress are left out. */
async function historyOf(handle: RunHandle<unknown>, { lastSequence }: Run, io: CliIo): Promise<readonly RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const update of handle.events({ signal: io.signal })) {
    if (update.kind !== "event") continue;
    const { event } = update;
    if (event.event.case !== "progressSampled") events.push(event);
    if (event.sequence >= lastSequence) break;
  }
  return events;
}
