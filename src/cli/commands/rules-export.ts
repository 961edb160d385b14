import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";

const formats = ["prometheus", "grafana"] as const;

export const rulesExport: Command = {
  description: [
    "Writes the alert rules of the server for those who have a Prometheus that scrapes its /metrics: as a rule file, or as a",
    "dashboard of Grafana that shows what a server does.",
  ].join(" "),
  positionals: [],
  flags: { format: { value: "FORMAT", description: "prometheus or grafana. Default: prometheus" } },
  examples: [
    ["retake rules export > retake.rules.yml", "A rule file for Prometheus"],
    ["retake rules export --format grafana > retake.json", "A dashboard for Grafana"],
  ],
  async run(given, io) {
    const format = given.value("format") ?? "prometheus";
    if (!formats.some((each) => each === format)) {
      throw new UsageError(`--format: there is no "${format}", only ${formats.join(", ")}`);
    }
    using connection = await connect(given, io);
    const { rules } = await connection.retake.client(MonitoringService).listAlertRules({}, { signal: io.signal });
    const { grafanaDashboard, prometheusRules, resolveRule } = await import("../../monitoring/index.ts");
    const resolved = rules.flatMap(({ rule }) => (rule === undefined || rule.disabled ? [] : [resolveRule(rule)]));
    const text =
      format === "grafana" ? JSON.stringify(grafanaDashboard(), undefined, 2) : await prometheusRules(resolved);
    writeLines(io.stdout, text.trimEnd());
    return ExitCode.ok;
  },
};
