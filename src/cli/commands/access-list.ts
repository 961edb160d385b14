import { toJsonString } from "@bufbuild/protobuf";
import {
  AccessRuleSource,
  type NamedAccessRule,
  NamedAccessRuleSchema,
} from "../../../gen/retake/v1/access_rule_pb.js";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { CliError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { ruleFor, ruleGives, ruleLines } from "../display/access-rule-text.ts";
import { plainText } from "../display/plain-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";

export const accessList: Command = {
  description:
    "Lists the access rules: who has a level, or may call methods, beyond what their credentials and the contracts say.",
  positionals: [{ name: "NAME", description: "show this one", optional: true }],
  flags: {},
  examples: [
    ["retake access list", "All rules, those of the configuration among them"],
    ["retake access list operators", "One of them"],
  ],
  async run(given, io) {
    using connection = await connect(given, io);
    const admin = connection.retake.client(AdminService);
    const name = given.positional("NAME");
    const found: NamedAccessRule[] = [];
    for (let pageToken = ""; ; ) {
      const page = await admin.listAccessRules({ name, pageToken, pageSize: 500 }, { signal: io.signal });
      found.push(...page.rules);
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    if (name !== "" && found.length === 0) throw new CliError(`there is no access rule ${name}`, ExitCode.notFound);
    if (given.has("json")) {
      for (const rule of found) writeLines(io.stdout, toJsonString(NamedAccessRuleSchema, rule));
    } else if (name !== "") {
      for (const rule of found) writeLines(io.stdout, ...ruleLines(rule));
    } else if (found.length === 0) {
      writeLines(io.stderr, "There are no access rules.");
    } else {
      writeLines(io.stdout, ...tableLines(columns, found, io.isTTY ? io.columns : Number.POSITIVE_INFINITY));
    }
    return ExitCode.ok;
  },
};

const columns: readonly Column<NamedAccessRule>[] = [
  { title: "NAME", cell: ({ name }) => plainText(name) },
  { title: "FOR", cell: ({ rule }) => (rule === undefined ? "" : ruleFor(rule)), keep: "start" },
  { title: "GIVES", cell: ({ rule }) => (rule === undefined ? "" : ruleGives(rule)), keep: "start" },
  {
    title: "SET BY",
    cell: ({ source, setBy }) => (source === AccessRuleSource.CONFIG ? "configuration" : plainText(setBy)),
  },
  { title: "REASON", cell: ({ reason }) => plainText(reason), keep: "start" },
];
