import type { MessageInitShape } from "@bufbuild/protobuf";
import { createServer } from "retake";
import type { ServerConfigSchema } from "retake/gen/retake/v1/config_pb.js";
import { AccessLevel } from "retake/gen/retake/v1/options_pb.js";
import { CliError } from "../../../src/cli/cli-error.ts";
import { ExitCode } from "../../../src/cli/exit-code.ts";
import { convertFallbacks, fallbackPolicies } from "../fallback-converters.ts";
import { VideoService } from "../gen/storycore/video/v1/video_service_pb.js";
import { type VideoHandlerOptions, videoHandlers } from "../handlers.ts";
import { makeScratchDirectory } from "../scratch-directory.ts";
import type { ServerLog } from "./server-log.ts";

export async function temporaryDirectory(): Promise<string> {
  try {
    return await makeScratchDirectory("retake-demo");
  } catch (cause) {
    const message = `there is no temporary directory: ${(cause as Error).message}\nSet TMPDIR to one that can be written to.`;
    throw new CliError(message, ExitCode.refused, { cause });
  }
}

export interface DemoServerOptions extends VideoHandlerOptions {
  readonly dataDirectory: string;
  readonly log: ServerLog;
  /** Default: those that name the converters. */
  readonly workflows?: MessageInitShape<typeof ServerConfigSchema>["workflows"];
}

/** A server on free ports, with its journal in the directory. */
export async function startDemoServer({ dataDirectory, log, workflows, ...handlers }: DemoServerOptions) {
  const config = {
    dataDirectory,
    grpc: { port: 0 },
    web: { port: 0 },
    // It listens on this machine alone, and whoever watches the demo may do everything.
    security: { anonymousLevel: AccessLevel.ADMIN },
    workflows: { ...fallbackPolicies, ...workflows },
  };
  const server = createServer(config, { log }).implement(VideoService, videoHandlers(handlers));
  await convertFallbacks(server).listen();
  const { grpc, web } = server;
  if (grpc === undefined || web === undefined) throw new TypeError("the server has no ports");
  return { server, grpc, web };
}
