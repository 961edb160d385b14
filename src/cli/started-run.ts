import { create } from "@bufbuild/protobuf";
import { StartRunResponseSchema } from "../../gen/retake/v1/run_service_pb.js";
import type { Arguments } from "./arguments.ts";
import { UsageError } from "./cli-error.ts";
import { ExitCode } from "./exit-code.ts";
import { type FollowOptions, followRun, whatToShow } from "./follow-run.ts";
import { type CliIo, writeLines } from "./io.ts";
import { messageJson } from "./message-json.ts";
import { parseOutputs } from "./output-file.ts";

/** What is to be done once a run has been started. */
export interface Following extends Pick<FollowOptions, "show" | "outputs"> {
  readonly watch: boolean;
}

/** @throws UsageError for flags that only make sense together */
export async function planFollowing(given: Arguments): Promise<Following> {
  const watch = given.has("watch");
  for (const flag of ["quiet", "output"]) {
    if (given.has(flag) && !watch) throw new UsageError(`--${flag} is about the result: add --watch to wait for it`);
  }
  return { watch, show: whatToShow(given), outputs: await parseOutputs(given.values("output")) };
}

export interface StartedRun extends Pick<FollowOptions, "run" | "connection" | "contracts"> {
  readonly joined: boolean;
  readonly following: Following;
}

/** Tells the id of a run that was started, or follows it. */
export async function tellStarted(started: StartedRun, io: CliIo): Promise<ExitCode> {
  const { run, joined, connection, contracts, following } = started;
  const { show, outputs } = following;
  if (following.watch) {
    if (show === "everything") writeLines(io.stderr, `Run ${run.runId}${joined ? " (it existed before)" : ""}`);
    const handle = connection.retake.attach(run.runId);
    return followRun({ connection, contracts, handle, run, afterSequence: 0n, show, outputs }, io);
  }
  if (show === "json") {
    const response = create(StartRunResponseSchema, { run, joined });
    writeLines(io.stdout, JSON.stringify(await messageJson(StartRunResponseSchema, response, contracts)));
    return ExitCode.ok;
  }
  writeLines(io.stdout, run.runId);
  const hint = `Watch it: ${connection.commandLine("watch", run.runId)}`;
  writeLines(io.stderr, joined ? `The key belongs to this run, which existed before. ${hint}` : hint);
  return ExitCode.ok;
}
