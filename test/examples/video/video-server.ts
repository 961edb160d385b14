import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type RetakeServer, type ServerOptions } from "retake";
import { connectRetake, type RetakeClient } from "retake/client";
import { onTestFinished } from "vitest";
import { convertFallbacks, fallbackPolicies } from "../../../examples/video/fallback-converters.ts";
import { VideoService } from "../../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import { type VideoHandlerOptions, videoHandlers } from "../../../examples/video/handlers.ts";
import { everyoneIsAdmin } from "../../everyone-is-admin.ts";

/** The video service, listening on free ports, and a client that calls it over gRPC. */
export interface VideoServer {
  readonly server: RetakeServer;
  readonly client: RetakeClient;
}

const quiet = () => undefined;
const silent: NonNullable<ServerOptions["log"]> = { debug: quiet, info: quiet, warn: quiet, error: quiet };

/** A directory for a journal, gone after the test. */
export async function dataDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "video-test-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Starts a real server on a directory; it is stopped after the test at the latest. */
export async function startVideoServer(directory: string, options: VideoHandlerOptions = {}): Promise<VideoServer> {
  const config = {
    dataDirectory: directory,
    grpc: { port: 0 },
    web: { port: 0 },
    security: everyoneIsAdmin,
    workflows: fallbackPolicies,
  };
  const server = createServer(config, { log: silent }).implement(VideoService, videoHandlers(options));
  await convertFallbacks(server).listen();
  const client = connectRetake({ target: `127.0.0.1:${server.grpc?.port}` });
  onTestFinished(async () => {
    client.close();
    await server.close({ drainTimeoutMs: 0 });
  });
  return { server, client };
}
