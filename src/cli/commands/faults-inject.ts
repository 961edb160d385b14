import type { MessageInitShape } from "@bufbuild/protobuf";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { ActiveFaultSchema, type FaultSchema } from "../../../gen/retake/v1/fault_pb.js";
import { durationFromMs } from "../../runs/index.ts";
import type { Arguments } from "../arguments.ts";
import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { effectText, endText, shareText } from "../display/fault-text.ts";
import { ExitCode } from "../exit-code.ts";
import { findWorkflow } from "../find-workflow.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { parseDuration } from "../parse-time.ts";

export const faultsInject: Command = {
  description: [
    "Begins a drill: from now on attempts of a workflow are disturbed on purpose, over restarts of the server too, until the",
    "time given by --for has passed. Runs that are hit say so in their events.",
  ].join(" "),
  positionals: [{ name: "WORKFLOW", description: "which one; the end of its name does" }],
  flags: {
    for: { value: "DURATION", description: "How long it lasts, 7d at most: 90s, 10m, 1h30m. Required" },
    percentage: { value: "P", description: "The share of attempts that are hit, by chance. Default: 100" },
    delay: { value: "DURATION", description: "Calls the back-end later" },
    status: { value: "CODE", description: "Fails with this status: UNAVAILABLE, INTERNAL, …" },
    "abort-after": { value: "N", description: "Breaks the answer off after N messages" },
    "stall-after": { value: "N", description: "Stops the answer after N messages, until it is cut off" },
    "out-of-memory": { description: "Fails as if memory had run out" },
    crash: { description: "Ends the server's process, once; only where it was started with --allow-crash-faults" },
    reason: { value: "TEXT", description: "Why, for those who see it" },
  },
  examples: [
    ["retake faults inject TextToVideo --status UNAVAILABLE --percentage 20 --for 10m", "See retries at work"],
    ["retake faults inject Animatic --stall-after 3 --for 5m", "See stalled attempts being cut off"],
  ],
  async run(given, io) {
    const effect = parseEffect(given);
    const length = given.value("for");
    if (length === undefined) throw new UsageError("--for is missing: how long the drill lasts, like 10m");
    const duration = durationFromMs(parseDuration("--for", length));
    const share = given.value("percentage");
    using connection = await connect(given, io);
    const { retake } = connection;
    const workflow = await findWorkflow(given.positional("WORKFLOW"), retake, io.signal);
    const request = {
      fault: {
        workflow,
        effect,
        reason: given.value("reason") ?? "",
        ...(share === undefined ? {} : { percentage: parsePercentage(share) }),
      },
      duration,
    };
    const { fault } = await retake.client(AdminService).injectFault(request, { signal: io.signal });
    if (fault?.fault === undefined) throw new Error("the server has not told which drill it has begun");
    if (given.has("json")) {
      const json = await messageJson(ActiveFaultSchema, fault, new Contracts(retake, io.signal));
      writeLines(io.stdout, JSON.stringify(json));
      return ExitCode.ok;
    }
    writeLines(
      io.stdout,
      `${fault.faultId}: ${shareText(fault.fault)} of the attempts of ${workflow}, ${effectText(fault.fault)}, until ${endText(fault)}`,
    );
    writeLines(io.stderr, `End it: ${connection.commandLine("faults", "remove", fault.faultId)}`);
    return ExitCode.ok;
  },
};

type Effect = NonNullable<MessageInitShape<typeof FaultSchema>["effect"]>;

const effects: Readonly<Record<string, (text: string) => Effect>> = {
  delay: (text) => ({ case: "delay", value: { duration: durationFromMs(parseDuration("--delay", text)) } }),
  status: (text) => ({ case: "status", value: { code: text.toUpperCase() } }),
  "abort-after": (text) => ({ case: "abort", value: { afterMessages: parseCount("--abort-after", text) } }),
  "stall-after": (text) => ({ case: "stall", value: { afterMessages: parseCount("--stall-after", text) } }),
  "out-of-memory": () => ({ case: "outOfMemory", value: {} }),
  crash: () => ({ case: "crash", value: {} }),
};

function parseEffect(given: Arguments): Effect {
  const [name, another] = Object.keys(effects).filter((flag) => given.has(flag));
  if (name === undefined) {
    throw new UsageError(
      `say what happens to attempts: ${Object.keys(effects)
        .map((flag) => `--${flag}`)
        .join(", ")}`,
    );
  }
  if (another !== undefined)
    throw new UsageError(`--${name} and --${another} are two drills: begin one after the other`);
  return (effects[name] as (text: string) => Effect)(given.value(name) ?? "");
}

function parseCount(flag: string, text: string): number {
  if (!/^\d{1,7}$/.test(text)) throw new UsageError(`${flag}: "${text}" is no number of messages`);
  return Number(text);
}

function parsePercentage(text: string): number {
  const number = /^\d+(\.\d+)?%?$/.test(text) ? Number.parseFloat(text) : Number.NaN;
  if (!(number > 0 && number <= 100)) {
    throw new UsageError(`--percentage: "${text}" is no share; one is above 0 and at most 100`);
  }
  return number;
}
