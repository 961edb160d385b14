import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { RotateApiKeyResponseSchema } from "../../../gen/retake/v1/api_key_pb.js";
import { durationFromMs } from "../../runs/index.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { apiKeyEnd } from "../display/api-key-text.ts";
import { ExitCode } from "../exit-code.ts";
import { parseDuration } from "../parse-time.ts";
import { showNewKey } from "../show-new-key.ts";

export const keysRotate: Command = {
  description: [
    "Makes a new API key in the place of one, and prints it. The old one is taken for a while yet, so that whoever uses it can",
    "go over to the new one without a gap.",
  ].join(" "),
  positionals: [{ name: "KEY_ID", description: "which one: what stands between its underscores" }],
  flags: {
    overlap: { value: "DURATION", description: "How long the old one is taken yet; 0s ends it at once. Default: 1d" },
    expires: {
      value: "DURATION",
      description: "How long the new one is taken. Default: as long as the old one was to be",
    },
  },
  examples: [["retake keys rotate 0Fa3kZ81bQx --overlap 2h", "Replace a key within two hours"]],
  async run(given, io) {
    const overlap = given.value("overlap");
    const expires = given.value("expires");
    const request = {
      keyId: given.positional("KEY_ID"),
      ...(overlap === undefined ? {} : { overlap: durationFromMs(parseDuration("--overlap", overlap)) }),
      ...(expires === undefined ? {} : { ttl: durationFromMs(parseDuration("--expires", expires)) }),
    };
    using connection = await connect(given, io);
    const made = await connection.retake.client(AdminService).rotateApiKey(request, { signal: io.signal });
    const more = made.replaced === undefined ? [] : [`The old one is taken until ${apiKeyEnd(made.replaced)}.`];
    showNewKey(RotateApiKeyResponseSchema, made, { given, io, more });
    return ExitCode.ok;
  },
};
