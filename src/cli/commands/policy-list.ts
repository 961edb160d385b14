import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { type PolicyOverride, PolicyOverrideSchema } from "../../../gen/retake/v1/policy_override_pb.js";
import { CliError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { overrideLines } from "../display/override-lines.ts";
import { plainText } from "../display/plain-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { showTime, timestampMs } from "../display/times.ts";
import { ExitCode } from "../exit-code.ts";
import { findWorkflow } from "../find-workflow.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const policyList: Command = {
  description:
    "Lists what operators override of workflows' policies at run time, or shows one of it with the policy that comes of it.",
  positionals: [{ name: "WORKFLOW", description: "show this one; the end of its name does", optional: true }],
  flags: {},
  examples: [
    ["retake policy list", "What is overridden, by whom and since when"],
    ["retake policy list Animatic", "An override, and the policy that holds"],
  ],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const admin = retake.client(AdminService);
    const contracts = new Contracts(retake, io.signal);
    const name = given.positional("WORKFLOW");
    const workflow = name === "" ? "" : await findWorkflow(name, retake, io.signal);
    const found: PolicyOverride[] = [];
    for (let pageToken = ""; ; ) {
      const page = await admin.listPolicyOverrides({ workflow, pageToken, pageSize: 500 }, { signal: io.signal });
      found.push(...page.overrides);
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    if (workflow !== "" && found.length === 0) {
      throw new CliError(`the policy of ${workflow} is not overridden at run time`, ExitCode.notFound);
    }
    if (given.has("json")) {
      for (const override of found) {
        writeLines(io.stdout, JSON.stringify(await messageJson(PolicyOverrideSchema, override, contracts)));
      }
    } else if (workflow !== "") {
      for (const override of found) writeLines(io.stdout, ...overrideLines(override));
    } else if (found.length === 0) {
      writeLines(io.stderr, "No policy is overridden at run time.");
    } else {
      writeLines(io.stdout, ...tableLines(columns, found, io.isTTY ? io.columns : Number.POSITIVE_INFINITY));
      for (const { workflow, problems } of found) {
        for (const problem of problems) writeLines(io.stderr, plainText(`${workflow} is not in force: ${problem}`));
      }
    }
    return ExitCode.ok;
  },
};

const columns: readonly Column<PolicyOverride>[] = [
  { title: "WORKFLOW", cell: ({ workflow }) => plainText(workflow) },
  { title: "REVISION", cell: ({ revision }) => String(revision) },
  { title: "IN FORCE", cell: ({ problems }) => (problems.length === 0 ? "yes" : "no") },
  { title: "SET", cell: ({ setTime }) => (setTime === undefined ? "" : showTime(timestampMs(setTime))) },
  { title: "BY", cell: ({ setBy }) => plainText(setBy) },
  { title: "REASON", cell: ({ reason }) => plainText(reason), keep: "start" },
];
