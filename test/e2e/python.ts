import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { TestContext } from "vitest";
import { requireTool } from "../tools.ts";

const run = promisify(execFile);

/** Kept between runs; nothing of it is committed. */
const environment = join(import.meta.dirname, "../../build/python");

/** Packages beyond grpcio and protobuf, by their module. */
const packages = {
  grpc_reflection: "grpcio-reflection",
  grpc_health: "grpcio-health-checking",
  prometheus_client: "prometheus-client",
  // It brings a protoc of its own.
  grpc_tools: "grpcio-tools",
} as const;

/**
 * A Python that has grpcio, and more of its kind: the system's own, or one with it installed by pip beside the build. Ends
 * the test as skipped when there is neither, or as failed where tools are required.
 */
export async function requirePythonWithGrpc(
  context: TestContext,
  modules: readonly (keyof typeof packages)[] = [],
): Promise<string> {
  const python = requireTool("python3", context);
  const own = join(environment, "bin/python3");
  for (const candidate of [python, "/usr/bin/python3", own]) {
    if (await hasGrpc(candidate, modules)) {
      return candidate;
    }
  }
  try {
    await mkdir(environment, { recursive: true });
    await run(python, ["-m", "venv", environment]);
    const wanted = ["grpcio", "protobuf", ...modules.map((module) => packages[module])];
    await run(own, ["-m", "pip", "install", "--quiet", "--only-binary=:all:", ...wanted]);
    return own;
  } catch (error) {
    const message = `Python has no grpcio, and pip cannot install it. On Debian: apt-get install python3-grpcio python3-protobuf. ${String(error)}`;
    if ((process.env["RETAKE_REQUIRE_TOOLS"] ?? "") !== "") {
      throw new Error(message, { cause: error });
    }
    console.warn(`Skipped: ${context.task.name}: ${message}`);
    return context.skip(message);
  }
}

async function hasGrpc(python: string, modules: readonly string[]): Promise<boolean> {
  try {
    await run(python, ["-c", `import ${["grpc", "google.protobuf", ...modules].join(", ")}`]);
    return true;
  } catch {
    return false;
  }
}
