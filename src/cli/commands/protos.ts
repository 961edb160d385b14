import { join } from "node:path";
import type { Command } from "../command.ts";
import { contractImports } from "../contract-imports.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { writeFiles } from "../write-files.ts";

export const protos: Command = {
  description: [
    "Writes every .proto file that a contract may import into a directory: retake/v1, buf/validate and google/rpc, as this",
    "version works with them. Files that are there already are brought up to date. Those of google/protobuf come with",
    "protoc and buf.",
  ].join(" "),
  local: true,
  positionals: [{ name: "DIR", description: "where to, made if need be: imports" }],
  flags: {},
  examples: [
    ["retake protos imports", "Write them"],
    [
      "protoc -I imports -I proto --python_out=out proto/studio/v1/studio_service.proto",
      "Compile a contract by protoc",
    ],
    [
      "protoc -I imports -I proto --python_out=out proto/studio/v1/studio_service.proto $(find imports -name '*.proto')",
      "The same for Python, which needs code for what is imported too",
    ],
  ],
  async run(given, io) {
    const directory = given.positional("DIR");
    const files = await writeFiles(directory, await contractImports());
    if (given.has("json")) {
      for (const { file, change } of files) {
        writeLines(io.stdout, JSON.stringify({ file: join(directory, file), change }));
      }
      return ExitCode.ok;
    }
    writeLines(
      io.stdout,
      ...files.map(({ file, change }) => `${change.padEnd(9)}  ${join(directory, file)}`),
      "",
      `For protoc:  protoc -I ${directory} -I proto --python_out=out proto/studio/v1/studio_service.proto`,
      "For buf, in buf.yaml:",
      "",
      "  version: v2",
      "  modules:",
      "    - path: proto",
      `    - path: ${directory}`,
    );
    return ExitCode.ok;
  },
};
