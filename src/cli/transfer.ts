import { create } from "@bufbuild/protobuf";
import { ProgressSchema } from "../../gen/retake/v1/run_pb.js";
import type { Reconnection } from "../client/index.ts";
import type { Arguments } from "./arguments.ts";
import { showBytes } from "./display/byte-size.ts";
import { connectionProblem } from "./display/connection-problem.ts";
import { renderProgressLine } from "./display/progress-line.ts";
import { StatusLine } from "./display/status-line.ts";
import { type CliIo, writeLines } from "./io.ts";

/** Told how a transfer goes. */
export interface Transfer {
  readonly moved: (bytes: number) => void;
  readonly lost: (reconnection: Reconnection) => void;
}

/** Shows how far a transfer is: by a bar on a terminal; elsewhere only what goes wrong is told. */
export async function showTransfer<Result>(
  stage: string,
  size: number,
  given: Arguments,
  io: CliIo,
  transfer: (shown: Transfer) => Promise<Result>,
): Promise<Result> {
  if (!io.isTTY || given.has("json")) {
    return transfer({
      moved() {},
      lost: ({ error }) =>
        writeLines(io.stderr, `retake: connection lost, trying again: ${connectionProblem(error.rawMessage)}`),
    });
  }
  const { clock, env } = io;
  const unicode = /utf-?8/i.test(env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"] || "");
  const startMs = clock.monotonic();
  // What an earlier call has transferred says nothing about how fast it goes now.
  let first: number | undefined;
  let done = 0;
  let notice = "";
  using status = new StatusLine(io, (width) => {
    const elapsedMs = clock.monotonic() - startMs;
    const moved = done - (first ?? done);
    const progress = create(ProgressSchema, {
      ...{ stage, fraction: size === 0 ? 1 : done / size },
      message: notice || `${showBytes(done)} of ${showBytes(size)}`,
    });
    const etaMs = moved > 0 && elapsedMs > steadyMs ? (elapsedMs * (size - done)) / moved : undefined;
    return renderProgressLine({ phase: stage, progress, elapsedMs, etaMs }, width, unicode);
  });
  return await transfer({
    moved(bytes) {
      first ??= bytes;
      done = bytes;
      notice = "";
      status.update();
    },
    lost({ error }) {
      notice = `connection lost, trying again: ${connectionProblem(error.rawMessage)}`;
      status.update();
    },
  });
}

/** Before that, no speed is worth telling. */
const steadyMs = 2_000;
