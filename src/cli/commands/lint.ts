import type { Command } from "../command.ts";
import { counted } from "../display/event-text.ts";
import { ExitCode } from "../exit-code.ts";
import { type CliIo, writeLines } from "../io.ts";
import { lintContracts } from "../lint/lint-contracts.ts";
import { compileContracts } from "../sources/compile.ts";
import { type Finding, findingLines } from "../sources/finding.ts";

export const lint: Command = {
  description: [
    "Tells what in a contract cannot be served, and what will hurt: a unary workflow that may run longer than proxies wait",
    "(long-unary), one without a key that runs for minutes (long-unkeyed), a fallback that loses fields (lossy-fallback),",
    "strings and lists of requests without a limit (missing-rules). Each finding comes with its place and the lines to",
    "write. A comment above the element silences one: // retake:ignore long-unary",
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
    const compilation = await compileContracts(given.positional("PATH") || ".", io);
    const findings = compilation.kind === "broken" ? compilation.findings : lintContracts(compilation).findings;
    show(findings, given.has("json"), io);
    if (findings.some(({ severity }) => severity === "error")) return ExitCode.usage;
    return findings.length === 0 ? ExitCode.ok : ExitCode.runFailed;
  },
};

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
