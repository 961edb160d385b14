import { toJsonString } from "@bufbuild/protobuf";
import { NamedAccessRuleSchema } from "../../../gen/retake/v1/access_rule_pb.js";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { parseRevision, ruleRevisionFlag } from "../parse-revision.ts";

export const accessDelete: Command = {
  description: "Takes an access rule back that was set while the server runs. It takes what it takes to set it.",
  positionals: [{ name: "NAME", description: "of the rule" }],
  flags: { revision: ruleRevisionFlag, reason: { value: "TEXT", description: "Why" } },
  examples: [["retake access delete breakers", "Let callers have what their credentials say again"]],
  async run(given, io) {
    const expectedRevision = parseRevision(given.value("revision"), 1n);
    using connection = await connect(given, io);
    const name = given.positional("NAME");
    const { rule } = await connection.retake.client(AdminService).deleteAccessRule(
      {
        name,
        reason: given.value("reason") ?? "",
        ...(expectedRevision === undefined ? {} : { expectedRevision }),
      },
      { signal: io.signal },
    );
    writeLines(
      io.stdout,
      given.has("json") && rule !== undefined
        ? toJsonString(NamedAccessRuleSchema, rule)
        : `the rule ${name} gives nobody anything any more`,
    );
    return ExitCode.ok;
  },
};
