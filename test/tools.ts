import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, it, type TestContext } from "vitest";

/** Debian packages of tools that are not called like their package. */
const packages: Readonly<Record<string, string>> = {
  ffprobe: "ffmpeg",
  promtool: "prometheus",
};

/** Where a tool is, or what to do about a test that needs it. */
export type ToolSearch =
  | { readonly kind: "found"; readonly path: string }
  | { readonly kind: "missing"; readonly required: boolean; readonly message: string };

/** Looks for a program on the PATH. A missing one is an error when RETAKE_REQUIRE_TOOLS is set, as it is in CI. */
export function findTool(name: string, env: NodeJS.ProcessEnv = process.env): ToolSearch {
  for (const directory of (env["PATH"] ?? "").split(delimiter)) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return { kind: "found", path };
    } catch {
      // Not in this one.
    }
  }
  return {
    kind: "missing",
    required: (env["RETAKE_REQUIRE_TOOLS"] ?? "") !== "",
    message: `${name} is not on the PATH. Install it, on Debian with: apt-get install ${packages[name] ?? name}`,
  };
}

/** Like `describe`, for tests that need a tool: without it they are skipped and say why, or fail where tools are required. */
export function describeWithTool(name: string, title: string, tests: () => void): void {
  const search = findTool(name);
  if (search.kind === "found") {
    describe(title, tests);
  } else if (search.required) {
    describe(title, () => {
      it(`finds ${name}`, () => {
        throw new Error(search.message);
      });
    });
  } else {
    console.warn(`Skipped: ${title}: ${search.message}`);
    describe.skip(title, tests);
  }
}

/** Within one test: answers the tool's path, or ends the test as skipped, or as failed where tools are required. */
export function requireTool(name: string, context: TestContext): string {
  const search = findTool(name);
  if (search.kind === "found") return search.path;
  if (search.required) throw new Error(search.message);
  console.warn(`Skipped: ${context.task.name}: ${search.message}`);
  return context.skip(search.message);
}
