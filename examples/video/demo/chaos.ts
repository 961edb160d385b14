import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { connectRetake, type RetakeClient, RunError } from "retake/client";
import type { Run } from "retake/gen/retake/v1/run_pb.js";
import { CliError } from "../../../src/cli/cli-error.ts";
import { statisticsText } from "../../../src/cli/display/event-text.ts";
import { ExitCode } from "../../../src/cli/exit-code.ts";
import { type CliIo, writeLines } from "../../../src/cli/io.ts";
import { barViewer, lineViewer, type RunViewer } from "../../../src/cli/run-viewers.ts";
import { fallbackPolicies } from "../fallback-converters.ts";
import { type Video, VideoService } from "../gen/storycore/video/v1/video_service_pb.js";
import { startDemoServer, temporaryDirectory } from "./demo-server.ts";
import { EngineProcess } from "./engine-process.ts";
import { describeFilm, planFilmFile, saveFilm, shownPath } from "./film-file.ts";
import { filmOf, follow } from "./follow.ts";
import type { DemoOptions } from "./options.ts";
import { createServerLog } from "./server-log.ts";

const { textToVideo } = VideoService.method;
const workflow = `${VideoService.typeName}/${textToVideo.name}`;
const request = {
  prompt: "A paper boat leaves the harbour. A storm rises. At dawn the sea is calm.",
  width: 448,
  height: 256,
  frames: 37,
  fps: 12,
  steps: 8,
};
/** Of frames that are a little smaller. */
const fewPixels = 100_000;

/** The contract's policy with less patience: who watches has none. */
const resetSeconds = 3;
const policy = {
  ...fallbackPolicies[workflow],
  retry: { maxAttempts: 3, initialBackoff: { nanos: 500_000_000 }, maxBackoff: { seconds: 2n } },
  circuitBreaker: { volumeThreshold: 3, resetTimeout: { seconds: BigInt(resetSeconds) } },
};

/**
 * Asks for the same film of an engine that works, is short of memory, is killed while it works, stays away, and comes back.
 * The engine is a process of its own that is called over gRPC. However it ends, server and engine have stopped.
 *
 * @throws CliError, and whatever the server and the client throw
 */
export async function runChaos({ out }: Pick<DemoOptions, "out">, io: CliIo): Promise<ExitCode> {
  const say = (...lines: readonly string[]) => writeLines(io.stdout, ...lines);
  const file = await planFilmFile(out);
  await using cleanup = new AsyncDisposableStack();
  const directory = await temporaryDirectory();
  cleanup.defer(() => rm(directory, { recursive: true, force: true }));
  const log = createServerLog(io.stderr);
  let port = 0;
  const transport = () => createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` });
  const { server, grpc } = await startDemoServer({
    dataDirectory: directory,
    log,
    workflows: { ...fallbackPolicies, [workflow]: policy },
    engine: { textToVideo: (...call) => createClient(VideoService, transport()).textToVideo(...call) },
  });
  cleanup.defer(() => server.close({ drainTimeoutMs: 0 }));
  const engine = cleanup.use(new EngineProcess(`${grpc.host}:${grpc.port}`));
  await engine.start();
  port = engine.port;
  io.signal.throwIfAborted();
  const client = cleanup.use(connectRetake({ target: `${grpc.host}:${grpc.port}` }));
  say(`server   ${grpc.host}:${grpc.port}`, `engine   127.0.0.1:${port}, a process of its own`, "");

  const act = async (title: string, meanwhile?: (run: Act) => void): Promise<Video> => {
    say(title, "");
    const shown = await play(client, io, meanwhile);
    say("", ...shown.lines, "");
    return shown.film;
  };
  await act("Act 1. The engine works.");
  await engine.start({ mostPixels: fewPixels });
  await act("Act 2. The engine is short of memory.");
  await engine.start();
  let killed = false;
  await act("Act 3. The engine is killed while it works, and stays away.", ({ step }) => {
    if (step >= 3 && !killed) {
      killed = true;
      void engine.kill();
    }
  });
  const film = await act("Act 4. It is still away.");
  const content = await client.artifacts.get(film.artifact?.artifactId ?? "", { signal: io.signal });
  const saved = shownPath(await saveFilm(file, film, content));
  await engine.start();
  await sleep((resetSeconds + 1) * 1000, undefined, { signal: io.signal });
  await act("Act 5. The engine is back.");
  say(`saved    ${saved}, the film of act 4`, `         ${describeFilm(film)}`);
  return ExitCode.ok;
}

/** Where a run is. */
interface Act {
  /** The newest step that was told. */
  readonly step: number;
}

/** Makes one film, and shows how. @throws CliError when there is none */
async function play(client: RetakeClient, io: CliIo, meanwhile: (run: Act) => void = () => {}) {
  const run = await client.start(textToVideo, request, { signal: io.signal });
  const viewer = viewerFor(await run.get({ signal: io.signal }), io);
  await follow(
    run,
    {
      ...viewer,
      show(update) {
        if (update.kind === "progress") meanwhile({ step: update.progress.progress?.step ?? 0 });
        return viewer.show(update);
      },
    },
    io,
  );
  try {
    const film = await filmOf(run, io.signal);
    return { film, lines: endLines(await run.get({ signal: io.signal }), film) };
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    throw new CliError(error.message, ExitCode.runFailed, { cause: error });
  }
}

function viewerFor(run: Run, io: CliIo): RunViewer {
  return io.isTTY ? barViewer(run, io) : lineViewer(io);
}

function endLines({ statistics, fallbacks }: Run, film: Video): string[] {
  const who = statistics?.fallbackUsed ? `the fallback ${statistics.fallbackUsed}` : "the engine";
  return [
    `A film by ${who}: ${describeFilm(film)}`,
    `It took ${statisticsText(statistics)}`,
    ...fallbacks.map(({ workflow: name, reason }) => `${name} was turned to because of ${reason}`),
  ];
}
