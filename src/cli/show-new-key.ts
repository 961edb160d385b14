import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { toJson } from "@bufbuild/protobuf";
import type { ApiKey } from "../../gen/retake/v1/api_key_pb.js";
import type { Arguments } from "./arguments.ts";
import { apiKeyLines } from "./display/api-key-text.ts";
import { type CliIo, writeLines } from "./io.ts";

/** Prints a new key: alone on standard output, so that it can go where it belongs; what is known of it beside that. */
export function showNewKey<Desc extends DescMessage>(
  schema: Desc,
  response: MessageShape<Desc> & { readonly key: string; readonly apiKey?: ApiKey | undefined },
  { given, io, more }: { readonly given: Arguments; readonly io: CliIo; readonly more: readonly string[] },
): void {
  if (given.has("json")) {
    writeLines(io.stdout, JSON.stringify(toJson(schema, response)));
    return;
  }
  writeLines(io.stdout, response.key);
  if (response.apiKey !== undefined) writeLines(io.stderr, ...apiKeyLines(response.apiKey, io.clock.now()));
  writeLines(io.stderr, "The key is shown this once: the server itself does not have it.", ...more);
}
