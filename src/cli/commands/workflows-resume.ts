import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { ExitCode } from "../exit-code.ts";
import { findWorkflow } from "../find-workflow.ts";
import { writeLines } from "../io.ts";

export const workflowsResume: Command = {
  description:
    "Lets a paused workflow go on: the runs that wait for that do so in the order in which they were accepted.",
  positionals: [{ name: "WORKFLOW", description: "which one; the end of its name does" }],
  flags: {},
  examples: [["retake workflows resume Animatic", "Let attempts be made again"]],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const workflow = await findWorkflow(given.positional("WORKFLOW"), retake, io.signal);
    const { resumed } = await retake.runs.resumeWorkflow({ workflow }, { signal: io.signal });
    if (given.has("json")) writeLines(io.stdout, JSON.stringify({ workflow, resumed }));
    else writeLines(io.stdout, resumed ? `${workflow} goes on` : `${workflow} was not paused`);
    return ExitCode.ok;
  },
};
