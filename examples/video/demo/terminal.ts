import { constants } from "node:os";
import process from "node:process";
import type { CliIo } from "../../../src/cli/io.ts";
import { systemClock, systemRandom } from "../../../src/clock.ts";

/** A signal as soon after another is the same one: Ctrl-C reaches this process directly, and once more through npm. */
const echoMs = 1000;

const showCursor = "\u001b[?25h";

/**
 * What this process has of the world. The first signal, or a reader of its output that has gone, aborts `io.signal`, so that
 * everything is tidied up; who sends another one, later, does not want to wait for that.
 */
export function openTerminal(): CliIo {
  const { stdout, stderr, stdin } = process;
  const isTTY = stdout.isTTY && process.env["TERM"] !== "dumb";
  const interrupt = new AbortController();
  let firstMs = Number.POSITIVE_INFINITY;
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => {
      if (systemClock.monotonic() > firstMs + echoMs) {
        if (isTTY) stdout.write(showCursor);
        process.exit(128 + constants.signals[name]);
      }
      firstMs = Math.min(firstMs, systemClock.monotonic());
      interrupt.abort(new Error(`interrupted by ${name}`));
    });
  }
  for (const stream of [stdout, stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      interrupt.abort(error);
    });
  }
  return {
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
    env: process.env,
    clock: systemClock,
    random: systemRandom,
    signal: interrupt.signal,
  };
}
