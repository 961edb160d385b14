import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { PolicyOverrideSchema } from "../../../gen/retake/v1/policy_override_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { ExitCode } from "../exit-code.ts";
import { findWorkflow } from "../find-workflow.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";
import { parseRevision, revisionFlag } from "../parse-revision.ts";

export const policyDelete: Command = {
  description: "Takes an override of a workflow's policy back: its contract and the server's configuration hold again.",
  positionals: [{ name: "WORKFLOW", description: "which one; the end of its name does" }],
  flags: { revision: revisionFlag, reason: { value: "TEXT", description: "Why" } },
  examples: [["retake policy delete Animatic", "Go by contract and configuration again"]],
  async run(given, io) {
    const expectedRevision = parseRevision(given.value("revision"), 1n);
    using connection = await connect(given, io);
    const { retake } = connection;
    const workflow = await findWorkflow(given.positional("WORKFLOW"), retake, io.signal);
    const { override } = await retake.client(AdminService).deletePolicyOverride(
      {
        workflow,
        reason: given.value("reason") ?? "",
        ...(expectedRevision === undefined ? {} : { expectedRevision }),
      },
      { signal: io.signal },
    );
    if (given.has("json") && override !== undefined) {
      const contracts = new Contracts(retake, io.signal);
      writeLines(io.stdout, JSON.stringify(await messageJson(PolicyOverrideSchema, override, contracts)));
    } else {
      writeLines(io.stdout, `${workflow} goes by its contract and the configuration again`);
    }
    return ExitCode.ok;
  },
};
