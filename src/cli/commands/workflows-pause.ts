import { WorkflowPauseSchema } from "../../../gen/retake/v1/run_service_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { pauseText } from "../display/pause-text.ts";
import { ExitCode } from "../exit-code.ts";
import { findWorkflow } from "../find-workflow.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const workflowsPause: Command = {
  description: [
    "Makes no more attempts for a workflow until it is resumed, over restarts of the server too. New runs are accepted and",
    "parked; attempts that are being made go on. A workflow that is paused stays so, with its first reason.",
  ].join(" "),
  positionals: [{ name: "WORKFLOW", description: "which one; the end of its name does" }],
  flags: { reason: { value: "TEXT", description: "Why, for those who wait" } },
  examples: [['retake workflows pause Animatic --reason "new cards until noon"', "Hold new attempts back"]],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const workflow = await findWorkflow(given.positional("WORKFLOW"), retake, io.signal);
    const { pause } = await retake.runs.pauseWorkflow(
      { workflow, reason: given.value("reason") ?? "" },
      { signal: io.signal },
    );
    if (given.has("json") && pause !== undefined) {
      const json = await messageJson(WorkflowPauseSchema, pause, new Contracts(retake, io.signal));
      writeLines(io.stdout, JSON.stringify(json));
      return ExitCode.ok;
    }
    writeLines(io.stdout, `${workflow} is paused${pauseText(pause)}`);
    writeLines(io.stderr, `Let it go on: ${connection.commandLine("workflows", "resume", workflow)}`);
    return ExitCode.ok;
  },
};
