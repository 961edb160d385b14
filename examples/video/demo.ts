// Shows Retake at work: a server, a run, its film and its history. `npm run demo -- --help` says what else it can do.
import process from "node:process";
import { ExitCode } from "../../src/cli/exit-code.ts";
import { explainError } from "../../src/cli/explain-error.ts";
import { type CliIo, writeLines } from "../../src/cli/io.ts";
import { runChaos } from "./demo/chaos.ts";
import { demoHelp, parseDemoOptions } from "./demo/options.ts";
import { runDemo } from "./demo/run-demo.ts";
import { openTerminal } from "./demo/terminal.ts";

process.exitCode = await main(process.argv.slice(2), openTerminal());

async function main(argv: readonly string[], io: CliIo): Promise<ExitCode> {
  try {
    const options = parseDemoOptions(argv);
    if (options !== "help") return await (options.chaos ? runChaos(options, io) : runDemo(options, io));
    io.stdout.write(demoHelp);
    return ExitCode.ok;
  } catch (error) {
    const { lines, exitCode } = explainError(error, io.signal);
    writeLines(io.stderr, ...lines.map((line, index) => (index === 0 ? `demo: ${line}` : `  ${line}`)));
    return exitCode;
  }
}
