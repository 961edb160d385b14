import { create, type DescField, equals } from "@bufbuild/protobuf";
import { type ServerConfig, ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";

/** What a server takes over while it runs. */
const liveKeys: ReadonlySet<string> = new Set(["contracts", "workflows", "backends", "faults"]);

/** The keys that differ between two configurations, and of which only a restart takes notice. */
export function restartKeys(before: ServerConfig, now: ServerConfig): string[] {
  return ServerConfigSchema.fields
    .filter(({ name }) => !liveKeys.has(name))
    .filter((field) => !equals(ServerConfigSchema, only(field, before), only(field, now)))
    .map(({ name }) => name);
}

function only({ localName }: DescField, config: ServerConfig): ServerConfig {
  return create(ServerConfigSchema, { [localName]: config[localName as keyof ServerConfig] });
}
