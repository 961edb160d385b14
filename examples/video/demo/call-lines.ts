import type { ServerAddress } from "retake";
import { VideoService } from "../gen/storycore/video/v1/video_service_pb.js";

/** What the command lines are about. */
export interface Called {
  readonly grpc: ServerAddress;
  readonly web: ServerAddress;
  /** The storyboard's file, as the caller would write it. */
  readonly storyboard: string;
  readonly runId: string;
  /** The film's. */
  readonly artifactId: string;
}

const workflow = `${VideoService.typeName}/${VideoService.method.animatic.name}`;
const json = "-H 'content-type: application/json'";

/** How to do the same without this demo: command lines for any POSIX shell, each under a comment that says what it does. */
export function callLines({ grpc, web, storyboard, runId, artifactId }: Called): string[] {
  const runService = `http://${addressOf(web)}/retake.v1.RunService`;
  const ownWords = JSON.stringify({ prompt: "A paper boat, far from home." });
  return [
    "# The same film again, as a streaming call",
    `grpcurl -plaintext -d @ ${addressOf(grpc)} \\`,
    `  ${workflow} \\`,
    `  < ${quoted(storyboard)} | cut -c 1-80`,
    "",
    "# A film of your own words",
    `curl -s ${runService}/StartRun \\`,
    `  ${json} \\`,
    `  -d '{"workflow": "${workflow}",`,
    `       "json": ${JSON.stringify(ownWords)}}'`,
    "",
    "# How the run above went",
    `curl -s ${runService}/GetRun \\`,
    `  ${json} \\`,
    `  -d '{"runId": "${runId}"}'`,
    "",
    "# The film's file, or any part of it",
    `curl -s http://${addressOf(web)}/artifacts/${artifactId} \\`,
    "  -r 0-15 | od -c",
  ];
}

function addressOf({ host, port }: ServerAddress): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
