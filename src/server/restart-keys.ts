import { create, type DescField, equals } from "@bufbuild/protobuf";
import { type ServerConfig, ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { MonitoringConfigSchema } from "../../gen/retake/v1/monitoring_config_pb.js";

/** What a server takes over while it runs. */
const liveKeys: ReadonlySet<string> = new Set(["contracts", "workflows", "backends", "faults"]);

/** Of `monitoring`, what only a restart takes notice of. */
const fixedOfMonitoring = ["disabled", "series"] as const;

/** The keys that differ between two configurations, and of which only a restart takes notice. */
export function restartKeys(before: ServerConfig, now: ServerConfig): string[] {
  return ServerConfigSchema.fields
    .filter(({ name }) => !liveKeys.has(name))
    .filter((field) => !equals(ServerConfigSchema, only(field, before), only(field, now)))
    .map(({ name }) => name);
}

function only({ localName }: DescField, config: ServerConfig): ServerConfig {
  const fixed = { ...config, ...(config.monitoring && { monitoring: withoutAlerts(config.monitoring) }) };
  return create(ServerConfigSchema, { [localName]: fixed[localName as keyof ServerConfig] });
}

function withoutAlerts(monitoring: NonNullable<ServerConfig["monitoring"]>): ServerConfig["monitoring"] {
  const fixed = fixedOfMonitoring.map((key) => [key, monitoring[key]] as const);
  const kept = create(MonitoringConfigSchema, Object.fromEntries(fixed.filter(([, value]) => value !== undefined)));
  return equals(MonitoringConfigSchema, kept, create(MonitoringConfigSchema)) ? undefined : kept;
}
