import { delimiter, join } from "node:path";
import type { CliIo } from "../io.ts";
import { findBuf } from "../sources/compile.ts";
import type { Finding, Fix } from "../sources/finding.ts";
import { exists, runTool } from "../sources/tools.ts";
import type { Project } from "./project.ts";

/** Makes the code that handlers import, as the project's buf.gen.yaml says. Answers what went wrong. */
export async function generate({ directory }: Project, io: CliIo): Promise<readonly Finding[]> {
  const template = join(directory, "buf.gen.yaml");
  if (!(await exists(template))) {
    return [finding("there is no buf.gen.yaml, which says what code is made of the contracts", missingTemplate)];
  }
  // The plug-in is found as npm scripts find it.
  const path = [join(directory, "node_modules", ".bin"), io.env["PATH"] ?? ""].join(delimiter);
  const buf = await findBuf(directory, io);
  const { code, stderr } = await runTool(buf, ["generate"], {
    cwd: directory,
    env: { ...io.env, PATH: path },
    signal: io.signal,
  });
  io.signal.throwIfAborted();
  if (code === 0) return [];
  const message = stderr.replace(/^Failure: /, "").trim();
  const missing = /protoc-gen-es/.test(message) && /not found|no such file|ENOENT/i.test(message);
  return [finding(`no code can be made of the contracts: ${message}`, missing ? missingPlugin : [])];
}

function finding(message: string, fixes: readonly Fix[]): Finding {
  return { severity: "error", rule: "generate", file: "buf.gen.yaml", line: 0, column: 0, message, fixes };
}

const missingPlugin: readonly Fix[] = [
  { where: "on the command line", lines: ["npm install --save-dev @bufbuild/protoc-gen-es"] },
];

const missingTemplate: readonly Fix[] = [
  {
    where: "in a file named buf.gen.yaml",
    lines: [
      "version: v2",
      "inputs:",
      "  - directory: proto",
      "plugins:",
      "  - local: protoc-gen-es",
      "    out: gen",
      "    opt:",
      "      - target=js+dts",
      "      - import_extension=js",
      "      - rewrite_imports=./buf/validate/*_pb.js:@bufbuild/protovalidate/gen",
      "      - rewrite_imports=./retake/v*/*_pb.js:retake/gen",
      "      - rewrite_imports=./google/rpc/*_pb.js:retake/gen",
    ],
  },
];
