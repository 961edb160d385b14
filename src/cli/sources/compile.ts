import { cp, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { createFileRegistry, type FileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { standardFiles } from "../../contract/index.ts";
import { CliError, UsageError } from "../cli-error.ts";
import { contractImports } from "../contract-imports.ts";
import { ExitCode } from "../exit-code.ts";
import type { CliIo } from "../io.ts";
import { writeFiles } from "../write-files.ts";
import { type CompileError, explainCompileError } from "./explain-compile-error.ts";
import type { Finding } from "./finding.ts";
import { protoModules, sourceFile } from "./modules.ts";
import { findTool, runTool, type Tool } from "./tools.ts";

/** Contracts that were compiled. */
export interface CompiledContracts {
  readonly registry: FileRegistry;
  /** The user's own files by their import path: from where he stands. Empty paths where only a descriptor set is there. */
  readonly files: ReadonlyMap<string, string>;
  /** The source of each of them; none of a descriptor set. */
  readonly sources: ReadonlyMap<string, string>;
}

export type Compilation =
  | ({ readonly kind: "compiled" } & CompiledContracts)
  /** With everything that the compiler found. */
  | { readonly kind: "broken"; readonly findings: readonly Finding[] };

/**
 * Compiles the contracts of a directory: with a buf.yaml its modules, else all `.proto` files in it, which may import what
 * `retake protos` writes. Of a file, takes it as a descriptor set.
 *
 * @throws CliError when there is nothing to compile, or nothing to compile it with
 */
export async function compileContracts(path: string, io: CliIo): Promise<Compilation> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    throw new UsageError(`there is no ${path} here.\nTo begin with a contract and a handler: retake init DIR`);
  }
  if (found.isFile()) return readDescriptorSet(path);
  const modules = await protoModules(path);
  if (modules !== undefined) return build(path, modules, (name) => sourceFile(display(path), modules, name), io);
  return withImportsAdded(path, io);
}

async function readDescriptorSet(path: string): Promise<Compilation> {
  if (path.endsWith(".proto")) {
    throw new UsageError(`${path} is one file of a contract: name the directory that its imports count from`);
  }
  try {
    const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, await readFile(path)));
    const files = [...registry.files].map(({ proto }) => proto.name).filter((name) => !isStandard(name));
    return { kind: "compiled", registry, files: new Map(files.map((name) => [name, name])), sources: new Map() };
  } catch (cause) {
    throw new UsageError(
      `${path} is no descriptor set with all its imports: ${(cause as Error).message}\nOne is made by: buf build -o contracts.binpb`,
      { cause },
    );
  }
}

/** Without a buf.yaml: in a copy, where the imports can be put beside it. */
async function withImportsAdded(path: string, io: CliIo): Promise<Compilation> {
  const scratch = await mkdtemp(join(tmpdir(), "retake-contracts-"));
  try {
    await cp(path, scratch, {
      recursive: true,
      filter: (source) => !/(^|[\\/])(node_modules|\.git|\.retake)$/.test(relative(path, source)),
    });
    await writeFiles(scratch, await contractImports());
    return await build(scratch, ["."], async (name) => join(path, name), io);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function build(
  directory: string,
  modules: readonly string[],
  pathOf: (name: string) => Promise<string>,
  io: CliIo,
): Promise<Compilation> {
  const buf = await findBuf(directory, io);
  const args = ["build", "--as-file-descriptor-set", "--output", "-#format=binpb", "--error-format", "json"];
  const { code, stdout, stderr } = await runTool(buf, args, { cwd: directory, env: io.env, signal: io.signal });
  io.signal.throwIfAborted();
  if (code !== 0) return { kind: "broken", findings: await explain(`${stdout}${stderr}`, directory, modules, pathOf) };
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, stdout));
  const files = new Map<string, string>();
  const sources = new Map<string, string>();
  for (const { proto } of registry.files) {
    if (isStandard(proto.name)) continue;
    files.set(proto.name, await pathOf(proto.name));
    sources.set(proto.name, await readSource(directory, modules, proto.name));
  }
  if (files.size === 0) {
    throw new UsageError(`there is no .proto file in ${display(directory)}\nTo begin with one: retake init DIR`);
  }
  return { kind: "compiled", registry, files, sources };
}

async function explain(
  output: string,
  directory: string,
  modules: readonly string[],
  pathOf: (name: string) => Promise<string>,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const line of output.split("\n").filter((text) => text.trim() !== "")) {
    const error = parseError(line);
    if (error === undefined || error.path === undefined) {
      // Its own configuration, above all: the compiler's words say it best.
      const message = error?.message ?? line.replace(/^Failure: /, "");
      findings.push({ severity: "error", rule: "compile", file: "", line: 0, column: 0, message, fixes: [] });
      continue;
    }
    const name = importPath(error.path, modules);
    const source = await readFile(resolve(directory, error.path), "utf8").catch(() => "");
    findings.push(explainCompileError(error, await pathOf(name), source));
  }
  return findings;
}

function parseError(line: string): CompileError | undefined {
  try {
    return JSON.parse(line) as CompileError;
  } catch {
    return undefined;
  }
}

function importPath(path: string, modules: readonly string[]): string {
  const slashed = path.replaceAll("\\", "/");
  const module = modules.find((each) => slashed.startsWith(`${each}/`));
  return module === undefined ? slashed : slashed.slice(module.length + 1);
}

async function readSource(directory: string, modules: readonly string[], name: string): Promise<string> {
  return readFile(await sourceFile(directory, modules, name), "utf8").catch(() => "");
}

/** @throws CliError that says how to get it */
export async function findBuf(directory: string, io: CliIo): Promise<Tool> {
  const buf = await findTool({ name: "buf", packageName: "@bufbuild/buf" }, directory, io.env["PATH"] ?? "");
  if (buf !== undefined) return buf;
  throw new CliError(
    `buf, which compiles .proto files, is not installed in ${display(directory)}\nInstall what the project needs: npm install\nWhere its package.json does not name buf: npm install --save-dev @bufbuild/buf @bufbuild/protoc-gen-es`,
    ExitCode.usage,
  );
}

/** As from where the user stands. */
export function display(path: string): string {
  const inside = relative("", path);
  return inside === "" ? "." : inside.startsWith("..") ? path : inside;
}

/** Files that every contract may rest on, and that nobody here can change. */
function isStandard(name: string): boolean {
  return standardFiles.has(name) || /^(google|buf|retake\/v1)\//.test(name);
}
