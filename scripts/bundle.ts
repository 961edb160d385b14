import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { join, relative, sep } from "node:path";
import { type RolldownOutput, rolldown } from "rolldown";
import { root } from "./buf.ts";
import { lazyRules } from "./lazy-rules.ts";
import type { Manifest } from "./manifest.ts";
import { thirdPartyNotice } from "./third-party.ts";

const sources = join(root, "src");

/** What says in a contract how messages are validated. */
const rules = "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

/** The one module that may ask where it is. */
const ownFiles = "own-files";

/**
 * Puts the modules of src/ together in few files of dist/, because Node needs longer to find and link hundreds of
 * modules than to read what is in them. Everything that can be imported or started has its file, and what several of
 * them need lies between them once: `retake`, `retake/client` and `retake/testing` know each other's objects. Packages
 * stay outside, as npm installs them, and so does gen/, since users import the same. Only what validates and what counts
 * is within: 240 modules that nobody else has objects of.
 */
export async function bundle(): Promise<void> {
  await rm(join(root, "dist"), { recursive: true, force: true });
  const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Manifest;
  const build = await rolldown({
    cwd: root,
    platform: "node",
    input: Object.fromEntries((await entries(manifest)).map((path) => [path, join(sources, `${path}.ts`)])),
    external: isExternal,
    plugins: [{ name: "rules", resolveId: resolveRules }, lazyRules()],
    // What the oldest Node that is supported cannot read is rewritten.
    transform: { target: "es2024" },
  });
  const { output } = await build.write({
    dir: join(root, "dist"),
    format: "esm",
    entryFileNames: "[name].js",
    // It must lie in dist/ itself. The names need no hash: the files are published together.
    chunkFileNames: ({ name }) => (name === ownFiles ? "[name].js" : "shared/[name].js"),
    sourcemap: true,
    codeSplitting: { groups: [{ name: ownFiles, test: /[\\/]src[\\/]own-files\.ts$/ }] },
  });
  await build.close();
  const modules = output.flatMap((file) => (file.type === "chunk" ? file.moduleIds : []));
  await writeFile(join(root, "dist", "THIRD-PARTY.txt"), await thirdPartyNotice(modules));
  assertPlaceless(output);
  assertDeclared(output, manifest);
}

/** What package.json offers, and what threads and processes start with. */
async function entries({ bin, exports }: Manifest): Promise<readonly string[]> {
  const offered = [...Object.values(bin), ...Object.values(exports)]
    .map((target) => (typeof target === "string" ? target : (target["default"] ?? "")))
    .flatMap((target) => /^\.\/dist\/(.*)\.js$/.exec(target)?.[1] ?? []);
  const started: string[] = [];
  for (const file of await readdir(sources, { recursive: true })) {
    if (file.endsWith(".ts")) {
      const text = await readFile(join(sources, file), "utf8");
      started.push(...Array.from(text.matchAll(/\bownModule\("([^"]+)"\)/g), ([, path = ""]) => path));
    }
  }
  return [...offered, ...started];
}

function isExternal(id: string, importer: string | undefined): boolean {
  if (importer === undefined || id.startsWith(sources + sep)) return false;
  // What rewritten syntax needs.
  if (id.includes("@oxc-project/runtime")) return false;
  if (isValidation(importer)) return /^@bufbuild\/protobuf(\/|$)/.test(id);
  if (isMetrics(importer)) return false;
  return !isValidation(id) && !isMetrics(id) && (!id.startsWith(".") || /(^|\/)gen\//.test(id));
}

/** protovalidate's own descriptors stay outside: contracts and gen/ mean them by the same name. */
function resolveRules(id: string, importer: string | undefined) {
  const meant = id === rules || (id.endsWith(rules.slice(rules.indexOf("/gen/"))) && isValidation(importer ?? ""));
  return meant ? { id: rules, external: true } : undefined;
}

/** Of a module or of an import: the packages that validate messages, and what only they use. */
function isValidation(id: string): boolean {
  return /(^|node_modules[\\/])@bufbuild[\\/](protovalidate|cel|cel-spec|re2)([\\/]|$)/.test(id);
}

/**
 * Of a module or of an import: OpenTelemetry's API and its SDK of metrics. Copies of the API know each other by what they
 * keep in globalThis, and exporters, which stay outside, take what they are given by its shape.
 */
function isMetrics(id: string): boolean {
  return /(^|node_modules[\\/])@opentelemetry[\\/](api|core|resources|sdk-metrics|semantic-conventions)([\\/]|$)/.test(
    id,
  );
}

/** A module that asks where it is would get another answer here than in src/. */
function assertPlaceless(output: RolldownOutput["output"]): void {
  for (const file of output) {
    if (file.type === "chunk" && file.name !== ownFiles && file.code.includes("import.meta")) {
      const modules = file.moduleIds.map((id) => relative(root, id)).join(", ");
      throw new Error(`one of these asks for import.meta, which only src/own-files.ts may: ${modules}`);
    }
  }
}

/** What is here only for development would be missing where the package is installed. */
function assertDeclared(output: RolldownOutput["output"], { dependencies }: Manifest): void {
  for (const { fileName, imports, dynamicImports } of output.filter((file) => file.type === "chunk")) {
    for (const id of [...imports, ...dynamicImports]) {
      const name = /^(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? id;
      const isPackage = !isBuiltin(id) && !output.some((file) => file.fileName === id) && !/[\\/]gen[\\/]/.test(id);
      if (isPackage && dependencies[name] === undefined) {
        throw new Error(`dist/${fileName} imports ${id}, which is none of the dependencies in package.json`);
      }
    }
  }
}
