import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { type WorkflowPolicy, WorkflowPolicySchema } from "../../../gen/retake/v1/options_pb.js";
import { PolicyOverrideSchema } from "../../../gen/retake/v1/policy_override_pb.js";
import { ConfigError, parseYaml } from "../../config/index.ts";
import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { overrideLines } from "../display/override-lines.ts";
import { ExitCode } from "../exit-code.ts";
import { findWorkflow } from "../find-workflow.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { parseRevision, revisionFlag } from "../parse-revision.ts";
import { type InputText, readInput } from "../read-input.ts";

export const policySet: Command = {
  description: [
    "Overrides a workflow's policy while the server runs, on top of its contract and of the server's configuration, and over",
    "restarts. An override that is there is replaced as a whole. It holds for runs that wait and for all next attempts.",
  ].join(" "),
  positionals: [{ name: "WORKFLOW", description: "which one; the end of its name does" }],
  flags: {
    input: {
      short: "i",
      value: "YAML|@FILE|-",
      description:
        "What is overridden, like an entry of `workflows` in retake.yaml; a file with it, or - for standard input",
    },
    revision: revisionFlag,
    reason: { value: "TEXT", description: "Why, for those who find it" },
  },
  examples: [
    ["retake policy set Animatic -i 'retry: { max_attempts: 6 }'", "Be more patient with a workflow"],
    ["retake policy set Animatic -i @night.yaml --revision 3 --reason night", "Replace what has been seen"],
  ],
  async run(given, io) {
    const input = given.value("input");
    if (input === undefined) throw new UsageError("--input is missing: what is to be overridden");
    const policy = await parsePolicy(await readInput(input, io));
    const expectedRevision = parseRevision(given.value("revision"), 0n);
    using connection = await connect(given, io);
    const { retake } = connection;
    const workflow = await findWorkflow(given.positional("WORKFLOW"), retake, io.signal);
    const { override } = await retake.client(AdminService).setPolicyOverride(
      {
        workflow,
        policy,
        reason: given.value("reason") ?? "",
        ...(expectedRevision === undefined ? {} : { expectedRevision }),
      },
      { signal: io.signal },
    );
    if (override === undefined) return ExitCode.ok;
    if (given.has("json")) {
      const contracts = new Contracts(retake, io.signal);
      writeLines(io.stdout, JSON.stringify(await messageJson(PolicyOverrideSchema, override, contracts)));
      return ExitCode.ok;
    }
    writeLines(io.stdout, ...overrideLines(override));
    writeLines(io.stderr, `Take it back: ${connection.commandLine("policy", "delete", workflow)}`);
    return ExitCode.ok;
  },
};

async function parsePolicy({ source, text }: InputText): Promise<WorkflowPolicy> {
  if (text.trim() === "") throw new UsageError(`${source} is empty; {} overrides nothing`);
  try {
    return await parseYaml(WorkflowPolicySchema, text, source);
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}
