import { once } from "node:events";
import { rm } from "node:fs/promises";
import { connectRetake, RunError } from "retake/client";
import { CliError } from "../../../src/cli/cli-error.ts";
import { counted } from "../../../src/cli/display/event-text.ts";
import { ExitCode } from "../../../src/cli/exit-code.ts";
import { type CliIo, writeLines } from "../../../src/cli/io.ts";
import { VideoService } from "../gen/storycore/video/v1/video_service_pb.js";
import { callLines } from "./call-lines.ts";
import { startDemoServer, temporaryDirectory } from "./demo-server.ts";
import { describeFilm, planFilmFile, saveFilm, shownPath } from "./film-file.ts";
import { filmOf, follow } from "./follow.ts";
import { historyLines } from "./history.ts";
import type { DemoOptions } from "./options.ts";
import { progressViewer } from "./progress-viewer.ts";
import { readStoryboard } from "./read-storyboard.ts";
import { createServerLog } from "./server-log.ts";

/**
 * Starts a server, makes a film over gRPC, saves it, and tells how it went. However it ends, the server has stopped and its
 * directory is gone.
 *
 * @throws CliError, and whatever the server and the client throw
 */
export async function runDemo({ out, storyboard, keep }: DemoOptions, io: CliIo): Promise<ExitCode> {
  const say = (...lines: readonly string[]) => writeLines(io.stdout, ...lines);
  const file = await planFilmFile(out);
  const request = await readStoryboard(storyboard);
  if (file.format !== undefined) request.format = file.format;
  say(`A film of ${counted(Math.max(1, request.scenes.length), "scene")}, one durable step each.`, "");

  await using cleanup = new AsyncDisposableStack();
  const directory = await temporaryDirectory();
  cleanup.defer(() => rm(directory, { recursive: true, force: true }));
  const log = createServerLog(io.stderr);
  cleanup.defer(() => log.release());
  const { server, grpc, web } = await startDemoServer({ dataDirectory: directory, log });
  cleanup.defer(() => server.close({ drainTimeoutMs: 0 }));
  io.signal.throwIfAborted();
  say(`gRPC     ${grpc.host}:${grpc.port}`, `web      http://${web.host}:${web.port}`, `journal  ${directory}`);

  const client = cleanup.use(connectRetake({ target: `${grpc.host}:${grpc.port}` }));
  const run = await client.start(VideoService.method.animatic, request, { signal: io.signal });
  say(`run      ${run.id}`, "");
  const events = await follow(run, progressViewer(await run.get({ signal: io.signal }), io), io);
  log.release();
  const history = ["What happened, by the run's journal:", "", ...historyLines(events, widthOf(io)), ""];
  let artifactId = "";
  try {
    const film = await filmOf(run, io.signal);
    artifactId = film.artifact?.artifactId ?? "";
    const content = await client.artifacts.get(artifactId, { signal: io.signal });
    say(`saved    ${shownPath(await saveFilm(file, film, content))}`, `         ${describeFilm(film)}`, "", ...history);
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    say(...history);
    throw new CliError(error.message, ExitCode.runFailed, { cause: error });
  }
  say(keep ? "How to call it yourself:" : "How to call it yourself, while --keep leaves the server up:", "");
  say(...callLines({ grpc, web, storyboard: shownPath(storyboard), runId: run.id, artifactId }));
  if (keep && !io.signal.aborted) {
    say("", "The server stays up until Ctrl-C.");
    await once(io.signal, "abort");
  }
  return ExitCode.ok;
}

function widthOf({ isTTY, columns }: CliIo): number {
  return isTTY ? columns : Number.POSITIVE_INFINITY;
}
