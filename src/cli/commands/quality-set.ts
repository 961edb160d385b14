import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import { QualityLevelSchema } from "../../../gen/retake/v1/quality_level_pb.js";
import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { qualityOutlook } from "../display/quality-text.ts";
import { ExitCode } from "../exit-code.ts";
import { findWorkflow } from "../find-workflow.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { parseQuality } from "../parse-quality.ts";
import { parseDuration } from "../parse-time.ts";

export const qualitySet: Command = {
  description: [
    "Sets how much of their requests the runs of a workflow ask for, from their next attempt on and over restarts of the",
    "server too. Below full it is held there until it is set anew, or for as long as --for says; then it rises step by",
    "step. Trouble may lower it further meanwhile. full ends all that.",
  ].join(" "),
  positionals: [
    { name: "WORKFLOW", description: "which one; the end of its name does" },
    { name: "QUALITY", description: "minimal, low, medium, high or full" },
  ],
  flags: {
    for: { value: "DURATION", description: "Hold it that long: 90s, 30m, 2h. Default: until it is set anew" },
    reason: { value: "TEXT", description: "Why, for those who wonder" },
  },
  examples: [
    ['retake quality set TextToVideo medium --for 2h --reason "one card less"', "Ask for less for two hours"],
    ["retake quality set TextToVideo full", "Ask for everything again"],
  ],
  async run(given, io) {
    const level = parseQuality("QUALITY", given.positional("QUALITY"));
    const holdForMs = parseHold(given.value("for"), level);
    using connection = await connect(given, io);
    const { retake } = connection;
    const workflow = await findWorkflow(given.positional("WORKFLOW"), retake, io.signal);
    const { level: now } = await retake.client(AdminService).setQualityLevel(
      {
        workflow,
        level,
        reason: given.value("reason") ?? "",
        ...(holdForMs === undefined ? {} : { holdFor: durationFromMs(holdForMs) }),
      },
      { signal: io.signal },
    );
    if (now === undefined) return ExitCode.ok;
    if (given.has("json")) {
      const json = await messageJson(QualityLevelSchema, now, new Contracts(retake, io.signal));
      writeLines(io.stdout, JSON.stringify(json));
      return ExitCode.ok;
    }
    const outlook = qualityOutlook(now, io.clock.now());
    writeLines(io.stdout, `${workflow} asks for ${Quality[now.level]}${outlook === "" ? "" : `, ${outlook}`}`);
    if (now.level !== Quality.FULL) {
      writeLines(io.stderr, `Ask for everything again: ${connection.commandLine("quality", "set", workflow, "full")}`);
    }
    return ExitCode.ok;
  },
};

function parseHold(text: string | undefined, level: Quality): number | undefined {
  if (text === undefined) return undefined;
  if (level === Quality.FULL) throw new UsageError("--for goes with a level below full: full is not held");
  return Math.round(parseDuration("--for", text));
}
