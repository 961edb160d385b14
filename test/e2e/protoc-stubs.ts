import { execFile } from "node:child_process";
import { cp, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const repository = join(import.meta.dirname, "../..");
const workload = "retake/test/e2e/v1/workload.proto";

/** Writes what `retake protos` writes, and the contract of the tests beside it; answers the import paths. */
export async function writeProtos(directory: string): Promise<readonly string[]> {
  const retake = join(repository, "src/cli/main.ts");
  await run(process.execPath, ["--conditions=retake-source", retake, "protos", directory], {
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  await cp(join(repository, "test/proto", workload), join(directory, workload), { recursive: true });
  const files = await readdir(directory, { recursive: true });
  return files.filter((file) => file.endsWith(".proto"));
}

/** Makes Python's stubs of them all, by the protoc that comes with grpcio-tools. */
export async function makePythonStubs(python: string, protos: string, out: string): Promise<void> {
  const files = await writeProtos(protos);
  await mkdir(out, { recursive: true });
  const flags = [`-I${protos}`, `--python_out=${out}`, `--grpc_python_out=${out}`];
  await run(python, ["-m", "grpc_tools.protoc", ...flags, ...files]);
}
