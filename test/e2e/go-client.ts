import { execFile } from "node:child_process";
import { cp, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import type { TestContext } from "vitest";
import { requireTool } from "../tools.ts";
import { writeProtos } from "./protoc-stubs.ts";

const run = promisify(execFile);
const repository = join(import.meta.dirname, "../..");

/** Kept between runs; nothing of it is committed. */
const plugins = join(repository, "build/go");

/** The newest that the Go of Debian 12 compiles. */
const generators = [
  "google.golang.org/protobuf/cmd/protoc-gen-go@v1.33.0",
  "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.3.0",
];

/** Go's own module of `google/rpc` registers these files: a second copy of them would end the program. */
const generation = {
  version: "v2",
  managed: {
    enabled: true,
    disable: [{ path: "google/rpc", file_option: "go_package" }],
    override: [{ file_option: "go_package_prefix", value: "example.com/client/gen" }],
  },
  plugins: ["protoc-gen-go", "protoc-gen-go-grpc"].map((local) => ({
    local,
    out: "gen",
    opt: ["paths=source_relative"],
  })),
};

/** Builds the Go client in an empty directory, with stubs of what `retake protos` writes; answers its program. */
export async function requireGoClient(context: TestContext, directory: string): Promise<string> {
  const go = requireTool("go", context);
  for (const generator of generators) {
    await run(go, ["install", generator], { env: { ...process.env, GOBIN: plugins } });
  }
  await cp(join(import.meta.dirname, "fixtures/go"), directory, { recursive: true });
  await writeProtos(join(directory, "protos"));
  await writeFile(join(directory, "buf.gen.yaml"), JSON.stringify(generation));
  const buf = join(repository, "node_modules/.bin/buf");
  await run(buf, ["generate", "protos", "--exclude-path", "protos/google"], {
    cwd: directory,
    env: { ...process.env, PATH: `${plugins}${delimiter}${process.env["PATH"] ?? ""}` },
  });
  await run(go, ["build", "-o", "client", "."], { cwd: directory });
  return join(directory, "client");
}
