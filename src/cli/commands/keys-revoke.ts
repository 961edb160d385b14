import { toJson } from "@bufbuild/protobuf";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { ApiKeySchema } from "../../../gen/retake/v1/api_key_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { apiKeyLines } from "../display/api-key-text.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";

export const keysRevoke: Command = {
  description:
    "Revokes an API key: it is refused from the next call on, for good. Calls and runs that it has begun go on.",
  positionals: [{ name: "KEY_ID", description: "which one: what stands between its underscores" }],
  flags: {
    force: { description: "Also the last key of level ADMIN; `retake serve --new-admin-key` makes another" },
    reason: { value: "TEXT", description: "Why, for those who find it" },
  },
  examples: [["retake keys revoke 0Fa3kZ81bQx --reason 'laptop lost'", "Refuse a key from now on"]],
  async run(given, io) {
    using connection = await connect(given, io);
    const { apiKey } = await connection.retake
      .client(AdminService)
      .revokeApiKey(
        { keyId: given.positional("KEY_ID"), force: given.has("force"), reason: given.value("reason") ?? "" },
        { signal: io.signal },
      );
    if (apiKey === undefined) return ExitCode.ok;
    writeLines(
      io.stdout,
      ...(given.has("json") ? [JSON.stringify(toJson(ApiKeySchema, apiKey))] : apiKeyLines(apiKey, io.clock.now())),
    );
    return ExitCode.ok;
  },
};
