#!/usr/bin/env node
// The binary: gives a command line the process, and nothing else.
import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { systemClock, systemRandom } from "../clock.ts";
import { keepCompiledCode } from "./compile-cache.ts";
import { ExitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";
import { nodeProblem } from "./node-version.ts";

const { stdout, stderr, stdin } = process;
const tooOld = nodeProblem(process.versions.node, process.argv[2]);
if (tooOld !== undefined) {
  stderr.write(`${tooOld}\n`);
  process.exit(ExitCode.refused);
}
const isTTY = stdout.isTTY && process.env["TERM"] !== "dumb";
const interrupt = new AbortController();

const hangupListeners = new Set<() => void>();

for (const [signal, number] of [
  ["SIGINT", 2],
  ["SIGTERM", 15],
  ["SIGHUP", 1],
] as const) {
  process.on(signal, () => {
    if (signal === "SIGHUP" && hangupListeners.size > 0 && !terminalIsGone()) {
      for (const listener of hangupListeners) listener();
      return;
    }
    if (interrupt.signal.aborted) {
      // Nothing is waited for any more; the cursor may be hidden.
      if (isTTY) stdout.write("\u001b[?25h");
      process.exit(128 + number);
    }
    interrupt.abort(new Error(`interrupted by ${signal}`));
  });
}
// A reader that has seen enough (`| head`) is no error.
for (const stream of [stdout, stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(0);
  });
}

const io: CliIo = {
  stdout,
  stderr,
  stdin,
  isTTY,
  get columns() {
    return stdout.columns ?? 80;
  },
  get rows() {
    return stdout.rows ?? 24;
  },
  onResize(listener) {
    stdout.on("resize", listener);
    return () => stdout.off("resize", listener);
  },
  onHangup(listener) {
    hangupListeners.add(listener);
    return () => hangupListeners.delete(listener);
  },
  process,
  env: process.env,
  clock: systemClock,
  random: systemRandom,
  signal: interrupt.signal,
};

/** SIGHUP is also what the programs of a terminal get when it is closed. */
function terminalIsGone(): boolean {
  if (!stdout.isTTY) return false;
  try {
    closeSync(openSync("/dev/tty", "r"));
    return false;
  } catch {
    return true;
  }
}

keepCompiledCode(process.env);
// Only now, so that they are found there.
const { runCli } = await import("./run-cli.ts");
process.exitCode = await runCli(process.argv.slice(2), io);
