import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { TestContext } from "vitest";
import { findTool, requireTool } from "../tools.ts";

const run = promisify(execFile);

/** The newest that the Go of Debian 12 compiles. */
const version = "v1.9.1";

/** Kept between runs; nothing of it is committed. */
const directory = join(import.meta.dirname, "../../build/go");

/** Where grpcurl is: on the PATH, or built beside the build by `go install`, which takes a while the first time. */
export async function requireGrpcurl(context: TestContext): Promise<string> {
  const found = findTool("grpcurl");
  if (found.kind === "found") {
    return found.path;
  }
  const go = requireTool("go", context);
  await run(go, ["install", `github.com/fullstorydev/grpcurl/cmd/grpcurl@${version}`], {
    env: { ...process.env, GOBIN: directory },
  });
  return join(directory, "grpcurl");
}
