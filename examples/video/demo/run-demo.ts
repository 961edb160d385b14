import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer } from "retake";
import { connectRetake, RunError, type RunHandle } from "retake/client";
import type { RunEvent } from "retake/gen/retake/v1/run_pb.js";
import { CliError } from "../../../src/cli/cli-error.ts";
import { counted } from "../../../src/cli/display/event-text.ts";
import { durationMs, showDuration } from "../../../src/cli/display/times.ts";
import { ExitCode } from "../../../src/cli/exit-code.ts";
import { type CliIo, writeLines } from "../../../src/cli/io.ts";
import { type AnimaticResponse, type Video, VideoService } from "../gen/storycore/video/v1/video_service_pb.js";
import { videoHandlers } from "../handlers.ts";
import { makeScratchDirectory } from "../scratch-directory.ts";
import { callLines } from "./call-lines.ts";
import { planFilmFile, saveFilm, shownPath } from "./film-file.ts";
import { historyLines } from "./history.ts";
import type { DemoOptions } from "./options.ts";
import { progressViewer } from "./progress-viewer.ts";
import { readStoryboard } from "./read-storyboard.ts";
import { createServerLog, type ServerLog } from "./server-log.ts";

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
  const { server, grpc, web } = await startServer(directory, log);
  cleanup.defer(() => server.close({ drainTimeoutMs: 0 }));
  io.signal.throwIfAborted();
  say(`gRPC     ${grpc.host}:${grpc.port}`, `web      http://${web.host}:${web.port}`, `journal  ${directory}`);

  const client = cleanup.use(connectRetake({ target: `${grpc.host}:${grpc.port}` }));
  const run = await client.start(VideoService.method.animatic, request, { signal: io.signal });
  say(`run      ${run.id}`, "");
  const events = await follow(run, io);
  log.release();
  const history = ["What happened, by the run's journal:", "", ...historyLines(events, widthOf(io)), ""];
  let artifactId = "";
  try {
    const film = await filmOf(run, io.signal);
    artifactId = film.artifact?.artifactId ?? "";
    const content = await client.artifacts.get(artifactId, { signal: io.signal });
    say(`saved    ${shownPath(await saveFilm(file, film, content))}`, `         ${describe(film)}`, "", ...history);
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

async function temporaryDirectory(): Promise<string> {
  try {
    return await makeScratchDirectory("retake-demo");
  } catch (cause) {
    const message = `there is no temporary directory: ${(cause as Error).message}\nSet TMPDIR to one that can be written to.`;
    throw new CliError(message, ExitCode.refused, { cause });
  }
}

/** A server on free ports, with its journal in the directory. */
async function startServer(dataDirectory: string, log: ServerLog) {
  const config = { dataDirectory, grpc: { port: 0 }, web: { port: 0 } };
  const server = await createServer(config, { log }).implement(VideoService, videoHandlers()).listen();
  const { grpc, web } = server;
  if (grpc === undefined || web === undefined) throw new TypeError("the server has no ports");
  return { server, grpc, web };
}

/** Shows a run up to its end, and returns its history. */
async function follow(run: RunHandle<unknown>, io: CliIo): Promise<RunEvent[]> {
  const { signal } = io;
  const history: RunEvent[] = [];
  using viewer = progressViewer(await run.get({ signal }), io);
  const updates = run.events({
    signal,
    onReconnect: (reconnection) => viewer.lost(reconnection),
    onReconnected: () => viewer.found(),
  });
  for await (const update of updates) {
    if (update.kind === "event") history.push(update.event);
    await viewer.show(update);
  }
  return history;
}

/** @throws RunError when there is none */
async function filmOf(run: RunHandle<AnimaticResponse>, signal: AbortSignal): Promise<Video> {
  const { update } = await run.result({ signal });
  if (update.case !== "video") throw new TypeError(`the result of run ${run.id} is no film`);
  return update.value;
}

function describe({ artifact, width, height, duration, mediaType }: Video): string {
  const length = duration === undefined ? "" : `${showDuration(durationMs(duration))} of `;
  const kind = mediaType === "image/webp" ? ", animated for any browser" : "";
  return `${length}${width} x ${height}, ${Math.ceil(Number(artifact?.size ?? 0n) / 1024)} KiB${kind}`;
}

function widthOf({ isTTY, columns }: CliIo): number {
  return isTTY ? columns : Number.POSITIVE_INFINITY;
}
