import { readFile, realpath } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { CliIo } from "../io.ts";
import { display } from "../sources/compile.ts";
import type { Finding, Fix } from "../sources/finding.ts";
import { exists, findTool, runTool } from "../sources/tools.ts";
import type { Project } from "./project.ts";

/**
 * What the compiler says of the files that the handlers load. Nothing in a project without TypeScript, and nothing of its
 * other files: a test that is being written must not stop the server.
 */
export async function checkTypes({ directory }: Project, files: readonly string[], io: CliIo): Promise<Finding[]> {
  if (!files.some((file) => /\.[cm]?ts$/.test(file)) || !(await exists(join(directory, "tsconfig.json")))) return [];
  const compiler = await findTool({ name: "tsc", packageName: "typescript" }, directory, "");
  if (compiler === undefined) return [];
  const args = ["--project", ".", "--noEmit", "--pretty", "false"];
  const { stdout } = await runTool(compiler, args, { cwd: directory, env: io.env, signal: io.signal });
  io.signal.throwIfAborted();
  const loaded = new Set(await Promise.all(files.map((file) => realpath(file).catch(() => file))));
  const findings: Finding[] = [];
  for (const { file, line, column, message } of errorsIn(stdout.toString())) {
    const path = resolve(directory, file);
    if (!loaded.has(await realpath(path).catch(() => path))) continue;
    const source = (await readFile(path, "utf8").catch(() => "")).split("\n")[line - 1] ?? "";
    findings.push({
      severity: "error",
      rule: "types",
      file: display(path),
      line,
      column,
      message: source.trim() === "" ? message : `${message}\n${source.trim()}`,
      fixes: fixesFor(message, source, line, column),
    });
  }
  return findings;
}

interface TypeError {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** Lines like `handlers.ts(12,5): error TS2339: …`; those below one that are indented go on with it. */
function errorsIn(output: string): TypeError[] {
  const errors: { -readonly [Key in keyof TypeError]: TypeError[Key] }[] = [];
  for (const text of output.split(/\r?\n/)) {
    const [, file, line, column, message] = /^(.+?)\((\d+),(\d+)\): error (.*)$/.exec(text) ?? [];
    const last = errors.at(-1);
    if (file !== undefined && message !== undefined) {
      errors.push({ file, line: Number(line), column: Number(column), message });
    } else if (/^\s+\S/.test(text) && last !== undefined) {
      last.message += `\n${text.trim()}`;
    }
  }
  return errors;
}

/** The line as it was meant perhaps. */
function fixesFor(message: string, source: string, line: number, column: number): Fix[] {
  const [, wrong, meant] = /'([^']+)'[^']*(?:'[^']*'[^']*)*Did you mean(?: to write)? '([^']+)'/.exec(message) ?? [];
  if (wrong === undefined || meant === undefined) return [];
  const at = source.indexOf(wrong, Math.max(0, column - 1));
  if (at < 0) return [];
  const mended = `${source.slice(0, at)}${meant}${source.slice(at + wrong.length)}`.trim();
  return [{ where: `meant perhaps, in line ${line}`, lines: [mended] }];
}
