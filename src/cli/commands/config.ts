import { toJson } from "@bufbuild/protobuf";
import { type ServerConfig, ServerConfigSchema } from "../../../gen/retake/v1/config_pb.js";
import { ConfigError, effectiveConfig, resolveConfig, withPlaces } from "../../config/index.ts";
import { withoutSensitive } from "../../contract/index.ts";
import { createTextRedactor } from "../../security/index.ts";
import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { readConfig } from "../config-file.ts";
import { configFlag } from "../config-flag.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";

export const config: Command = {
  description: [
    "Prints the configuration that a server would go by, with its defaults written out and what is secret left out, as YAML",
    "or, with --json, as JSON; what is not there is off or empty. A configuration that cannot be used is told by what is",
    "wrong with it, and nothing is started. Policies of workflows, rules of alerts and drills are printed as they were given.",
  ].join(" "),
  local: true,
  positionals: [],
  flags: { config: configFlag },
  examples: [
    ["retake config", "See what retake.yaml comes to"],
    ["retake config -c new.yaml > /dev/null", "See whether a server would take another one"],
  ],
  async run(given, io) {
    const effective = await read(given.value("config"));
    const shown = withoutSensitive(ServerConfigSchema, effective);
    for (const { notify } of Object.values(shown.workflows)) {
      // Its path is a secret with many who take hooks, as that of a notifier is.
      if (notify?.url) notify.url = "[redacted]";
    }
    const json = JSON.stringify(toJson(ServerConfigSchema, shown, { useProtoFieldName: true }), withoutQuery);
    // What somebody has put where it does not belong, as in a URL.
    const line = createTextRedactor({ personalData: "keep", key: new Uint8Array() }).jsonLine(json);
    if (given.has("json")) {
      writeLines(io.stdout, line);
    } else {
      const { stringify } = await import("yaml");
      io.stdout.write(stringify(JSON.parse(line), { lineWidth: 0 }));
    }
    return ExitCode.ok;
  },
};

/** Keys and signatures stand in queries, by names that nobody can list. */
function withoutQuery(_: string, value: unknown): unknown {
  return typeof value === "string" ? value.replace(/^(https?:\/\/[^?#]*\?).+$/is, "$1[redacted]") : value;
}

async function read(file: string | undefined) {
  try {
    const given = await readConfig(file);
    const effective = effectiveConfig(given);
    await assertAlerting(given);
    return effective;
  } catch (error) {
    throw error instanceof ConfigError ? new UsageError(error.message, { cause: error }) : error;
  }
}

/** As a server does at its start, without reading secrets. @throws ConfigError */
async function assertAlerting(given: ServerConfig): Promise<void> {
  const { monitoring } = resolveConfig(given);
  if (monitoring === undefined) return;
  const { rules, slos, disabledRules } = monitoring;
  // Loading what rules are takes longer than all the rest.
  if ([rules, slos, disabledRules].every(({ length }) => length === 0)) return;
  const { configuredRules } = await import("../../monitoring/index.ts");
  const { problems } = configuredRules(monitoring);
  if (problems.length > 0) throw withPlaces(new ConfigError("configuration", problems), given);
}
