import { join } from "node:path";
import type { Command } from "../command.ts";
import { readProjectConfig } from "../dev/project.ts";
import { counted } from "../display/event-text.ts";
import { ExitCode } from "../exit-code.ts";
import { type CliIo, writeLines } from "../io.ts";
import { declaredOverrides } from "../lint/declared-overrides.ts";
import { lintContracts } from "../lint/lint-contracts.ts";
import { compileContracts } from "../sources/compile.ts";
import { type Finding, findingLines } from "../sources/finding.ts";

export const lint: Command = {
  description: [
    "Tells what in a contract cannot be served, and what will hurt: a unary workflow that may run longer than proxies wait",
    "(long-unary), one without a key that runs for minutes (long-unkeyed), a fallback that loses fields (lossy-fallback),",
    "strings and lists of requests without a limit (missing-rules), a time that never passes, because another one comes",
    "before it (unreached-limit). Each finding comes with its place and the lines to",
    "write. What a retake.yaml there says of the policies counts. A comment above the element silences a finding:",
    "// retake:ignore long-unary",
  ].join(" "),
  local: true,
  positionals: [
    {
      name: "PATH",
      description: "a directory with .proto files, or a descriptor set; default: this directory",
      optional: true,
    },
  ],
  flags: {},
  examples: [
    ["retake lint", "Look at the contracts of this project"],
    ["retake lint --json contracts.binpb", "Look at a descriptor set, one finding a line"],
  ],
  async run(given, io) {
    const findings = await findingsIn(given.positional("PATH") || ".", io);
    show(findings, given.has("json"), io);
    if (findings.some(({ severity }) => severity === "error")) return ExitCode.usage;
    return findings.length === 0 ? ExitCode.ok : ExitCode.runFailed;
  },
};

/** With what the operator says of the policies, where a retake.yaml is beside the contracts. */
async function findingsIn(path: string, io: CliIo): Promise<readonly Finding[]> {
  const compilation = await compileContracts(path, io);
  if (compilation.kind === "broken") return compilation.findings;
  const config = await readProjectConfig({ configFile: join(path, "retake.yaml") });
  if (!("workflows" in config)) return config;
  return lintContracts(compilation, declaredOverrides(config, compilation)).findings;
}

function show(findings: readonly Finding[], json: boolean, io: CliIo): void {
  if (json) {
    writeLines(io.stdout, ...findings.map((finding) => JSON.stringify(finding)));
    return;
  }
  for (const finding of findings) writeLines(io.stdout, ...findingLines(finding), "");
  const errors = findings.filter(({ severity }) => severity === "error").length;
  writeLines(
    io.stderr,
    findings.length === 0
      ? "Nothing to mend."
      : `${counted(errors, "error")}, ${counted(findings.length - errors, "warning")}`,
  );
}
