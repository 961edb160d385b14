import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { followFlags, followRun, whatToShow } from "../follow-run.ts";
import { parseOutputs } from "../output-file.ts";
import { parseRunId, runIdPositional } from "../run-id.ts";

export const watch: Command = {
  description: [
    "Follows a run to its end and prints its result: with a progress bar on a terminal, else one line for each event.",
    "A connection that is lost is made anew, and nothing is missed. Ctrl-C stops watching; the run goes on.",
  ].join(" "),
  positionals: [runIdPositional],
  flags: {
    after: { value: "N", description: "Begin behind event number N. Default: 0, from the first one on" },
    ...followFlags,
  },
  examples: [
    ["retake watch 01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88", "Follow a run"],
    [
      "retake watch 01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88 -o poster.svg=poster.svg",
      "Wait for a run, and save a field of its result",
    ],
  ],
  async run(given, io) {
    const runId = parseRunId(given.positional("RUN_ID"));
    const afterSequence = parseSequence(given.value("after") ?? "0");
    const outputs = await parseOutputs(given.values("output"));
    using connection = await connect(given, io);
    const handle = connection.retake.attach(runId);
    const run = await handle.get({ signal: io.signal });
    const contracts = new Contracts(connection.retake, io.signal);
    return await followRun({ connection, contracts, handle, run, afterSequence, show: whatToShow(given), outputs }, io);
  },
};

function parseSequence(text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) throw new UsageError(`--after: "${text}" is no event number; they count 1, 2, 3, …`);
  return BigInt(text);
}
