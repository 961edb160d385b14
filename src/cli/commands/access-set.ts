import { create, toJsonString } from "@bufbuild/protobuf";
import { AccessRuleSchema, NamedAccessRuleSchema } from "../../../gen/retake/v1/access_rule_pb.js";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { nearestName } from "../../nearest-name.ts";
import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { ruleLines } from "../display/access-rule-text.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { parseRevision, ruleRevisionFlag } from "../parse-revision.ts";

export const accessSet: Command = {
  description: [
    "Gives subjects and groups a level, or single workflows and RPCs, while the server runs and over restarts. A rule of",
    "that name that is there is replaced as a whole. Nobody can give what they do not have themselves.",
  ].join(" "),
  positionals: [{ name: "NAME", description: "of the rule" }],
  flags: {
    subject: { value: "NAME", description: "Whom it is for; may be repeated" },
    group: { value: "NAME", description: "A group that it is for; may be repeated" },
    tenant: { value: "NAME", description: 'Whose subjects and groups; "*" for every tenant. Default: default' },
    level: { value: "LEVEL", description: "authenticated, privileged or admin: what they have at least" },
    method: {
      value: "NAME",
      description: "What they may call at any level: package.Service/Method; may be repeated",
    },
    revision: ruleRevisionFlag,
    reason: { value: "TEXT", description: "Why, for those who find it" },
  },
  examples: [
    ["retake access set leads --group leads --level privileged", "Let leads see the runs of their tenant"],
    [
      "retake access set breakers --subject alice --method retake.v1.AdminService/ForceBreaker",
      "Let alice hold breakers open",
    ],
  ],
  async run(given, io) {
    const rule = create(AccessRuleSchema, {
      tenant: given.value("tenant") ?? "",
      subjects: [...given.values("subject")],
      groups: [...given.values("group")],
      level: parseLevel(given.value("level")),
      methods: [...given.values("method")],
    });
    if (rule.subjects.length + rule.groups.length === 0) {
      throw new UsageError("the rule is for nobody: give --subject or --group");
    }
    if (rule.level === AccessLevel.UNSPECIFIED && rule.methods.length === 0) {
      throw new UsageError("the rule gives nothing: give --level or --method");
    }
    const expectedRevision = parseRevision(given.value("revision"), 0n);
    using connection = await connect(given, io);
    const name = given.positional("NAME");
    const { rule: set } = await connection.retake.client(AdminService).setAccessRule(
      {
        ...{ name, rule },
        reason: given.value("reason") ?? "",
        ...(expectedRevision === undefined ? {} : { expectedRevision }),
      },
      { signal: io.signal },
    );
    if (set === undefined) return ExitCode.ok;
    if (given.has("json")) {
      writeLines(io.stdout, toJsonString(NamedAccessRuleSchema, set));
      return ExitCode.ok;
    }
    writeLines(io.stdout, ...ruleLines(set));
    writeLines(io.stderr, `Take it back: ${connection.commandLine("access", "delete", name)}`);
    return ExitCode.ok;
  },
};

const levels: ReadonlyMap<string, AccessLevel> = new Map([
  ["public", AccessLevel.PUBLIC],
  ["authenticated", AccessLevel.AUTHENTICATED],
  ["privileged", AccessLevel.PRIVILEGED],
  ["admin", AccessLevel.ADMIN],
]);

function parseLevel(text: string | undefined): AccessLevel {
  if (text === undefined) return AccessLevel.UNSPECIFIED;
  const name = text.toLowerCase().replace(/^access_level_/, "");
  const level = levels.get(name);
  if (level === undefined) {
    const guess = nearestName(name, levels.keys());
    const hint = guess === undefined ? `there are ${[...levels.keys()].join(", ")}` : `did you mean ${guess}?`;
    throw new UsageError(`--level: there is no level "${text}"; ${hint}`);
  }
  return level;
}
