import { join } from "node:path";
import type { ServerConfig } from "../../../gen/retake/v1/config_pb.js";
import type { ContractRegistry } from "../../contract/index.ts";
import { contractImports } from "../contract-imports.ts";
import type { CliIo } from "../io.ts";
import { declaredOverrides } from "../lint/declared-overrides.ts";
import { lintContracts } from "../lint/lint-contracts.ts";
import { compileContracts } from "../sources/compile.ts";
import type { Finding } from "../sources/finding.ts";
import { exists } from "../sources/tools.ts";
import { writeFiles } from "../write-files.ts";
import { checkTypes } from "./check-types.ts";
import { missingHandlers } from "./explain-failure.ts";
import { fingerprint, protoFiles } from "./fingerprint.ts";
import { generate } from "./generate.ts";
import { importedFiles } from "./imported-files.ts";
import { type Project, readProjectConfig } from "./project.ts";

export type Build =
  | { readonly kind: "broken"; readonly findings: readonly Finding[] }
  | {
      readonly kind: "built";
      readonly config: ServerConfig;
      readonly contracts: ContractRegistry;
      /** New ones only. */
      readonly warnings: readonly Finding[];
    };

/** Makes a project ready to be served, again and again; what has not changed is not made anew. */
export class ProjectBuilder {
  readonly #project: Project;
  readonly #io: CliIo;
  #generated = "";
  #warned = "";

  constructor(project: Project, io: CliIo) {
    this.#project = project;
    this.#io = io;
  }

  /** Stands for everything that a build depends on. */
  async state(): Promise<string> {
    const { configFile, handlers } = this.#project;
    return [await this.#contractState(), await fingerprint([configFile, ...(await importedFiles([handlers]))])].join(
      "\n",
    );
  }

  /** Brings the imports up to date with this version. Answers those that were changed. */
  async refreshImports(): Promise<readonly string[]> {
    const directory = join(this.#project.directory, "imports");
    if (!this.#project.modules.includes("imports")) return [];
    const written = await writeFiles(directory, await contractImports());
    return written.filter(({ change }) => change !== "unchanged").map(({ file }) => file);
  }

  async build(): Promise<Build> {
    const config = await readProjectConfig(this.#project);
    if (Array.isArray(config)) return { kind: "broken", findings: config };
    // Before it is compiled: what is written meanwhile must be seen as a change.
    const state = await this.#contractState();
    const compilation = await compileContracts(this.#project.directory, this.#io);
    if (compilation.kind === "broken") return compilation;
    const { findings, registry } = lintContracts(compilation, declaredOverrides(config as ServerConfig, compilation));
    if (registry === undefined) return { kind: "broken", findings };
    if (state !== this.#generated) {
      const trouble = await generate(this.#project, this.#io);
      if (trouble.length > 0) return { kind: "broken", findings: trouble };
      this.#generated = state;
    }
    if (!(await exists(this.#project.handlers))) {
      return { kind: "broken", findings: [missingHandlers(this.#project, registry)] };
    }
    const types = await checkTypes(this.#project, await importedFiles([this.#project.handlers]), this.#io);
    if (types.length > 0) return { kind: "broken", findings: types };
    return {
      kind: "built",
      config: config as ServerConfig,
      contracts: registry,
      warnings: this.#newWarnings(findings),
    };
  }

  async #contractState(): Promise<string> {
    const { directory, modules } = this.#project;
    const settings = ["buf.yaml", "buf.gen.yaml"].map((name) => join(directory, name));
    return fingerprint([...settings, ...(await protoFiles(modules.map((module) => join(directory, module))))]);
  }

  #newWarnings(findings: readonly Finding[]): readonly Finding[] {
    const text = JSON.stringify(findings.map(({ message }) => message));
    if (text === this.#warned) return [];
    this.#warned = text;
    return findings;
  }
}
