import { standardFiles } from "../../contract/index.ts";
import { nearestName } from "../../nearest-name.ts";
import type { Finding, Fix } from "./finding.ts";
import { scalarTypes, standardNames } from "./known-names.ts";
import { bufYaml } from "./modules.ts";

/** What the compiler says, one JSON object a line. */
export interface CompileError {
  readonly path: string;
  readonly start_line: number;
  readonly start_column: number;
  readonly message: string;
}

/** The compiler's message with the line that it is about, and what to write instead where that can be told. */
export function explainCompileError(error: CompileError, file: string, source: string): Finding {
  const text = source.split("\n")[error.start_line - 1] ?? "";
  const caret = `${" ".repeat(Math.max(0, error.start_column - 1))}^`;
  return {
    severity: "error",
    rule: "compile",
    file,
    line: error.start_line,
    column: error.start_column,
    message: text.trim() === "" ? error.message : [error.message, ...unindented([text, caret])].join("\n"),
    fixes: fixesFor(error, source),
  };
}

function fixesFor(error: CompileError, source: string): Fix[] {
  const { message } = error;
  const unknown = /^cannot find `([^`]+)` in this scope/.exec(message)?.[1];
  if (unknown !== undefined) return unknownName(unknown, error, source);
  if (message === "imported file does not exist") return missingImport(error, source);
  const number = /^field number `(\d+)` used more than once/.exec(message)?.[1];
  if (number !== undefined) return usedNumber(number, error, source);
  if (/^(unexpected|missing|expected) /.test(message)) return missingSemicolon(error, source);
  return [];
}

function unknownName(unknown: string, error: CompileError, source: string): Fix[] {
  const name = unknown.replace(/^\./, "");
  const declaredIn = standardNames().get(name);
  if (declaredIn !== undefined) return importFix(declaredIn, source);
  // A field of an option: `(retake.v1.workflow).timout`.
  const declared = [...source.matchAll(/\b(?:message|enum)\s+(\w+)/g)].map(([, type = ""]) => type);
  const meant = nearestName(name, [...scalarTypes, ...declared, ...standardNames().keys()]) ?? standardNamed(name);
  if (meant === undefined) {
    return /^\w+$/.test(name)
      ? [{ where: "at the end of the file, if it is to be a message", lines: [`message ${name} {`, "}"] }]
      : [];
  }
  const replaced = replaceAt(error, unknown, meant, source);
  return [
    ...(replaced === undefined ? [] : [{ where: `meant perhaps, in line ${error.start_line}`, lines: [replaced] }]),
    ...importOf(meant, source),
  ];
}

/** Someone who writes `Progress` alone. */
function standardNamed(name: string): string | undefined {
  return [...standardNames().keys()].find((known) => known.endsWith(`.${name}`) && known.startsWith("retake."));
}

function importOf(name: string, source: string): Fix[] {
  const file = standardNames().get(name);
  return file === undefined ? [] : importFix(file, source);
}

/** Nothing where it is imported already. */
export function importFix(file: string, source: string): Fix[] {
  if (new RegExp(`^\\s*import\\s+(public\\s+)?"${file.replaceAll(".", "\\.")}"`, "m").test(source)) return [];
  return [{ where: "at the top of the file, below the line that names its package", lines: [`import "${file}";`] }];
}

function missingImport({ start_line: line }: CompileError, source: string): Fix[] {
  const name = /"([^"]+)"/.exec(source.split("\n")[line - 1] ?? "")?.[1];
  if (name === undefined) return [];
  if (standardFiles.has(name)) {
    return [
      { where: "on the command line, to have what a contract may import", lines: ["retake protos imports"] },
      { where: "in buf.yaml, so that it is found", lines: bufYaml },
    ];
  }
  const meant = nearestName(name, standardFiles.keys());
  return meant === undefined ? [] : [{ where: `meant perhaps, in line ${line}`, lines: [`import "${meant}";`] }];
}

function usedNumber(number: string, error: CompileError, source: string): Fix[] {
  const lines = source.split("\n");
  // From the message that the field stands in: numbers count within one message only.
  const beforeError = (lines[error.start_line - 1] ?? "").slice(0, error.start_column - 1);
  let depth = 0;
  let start = error.start_line - 1;
  for (; start >= 0; start--) {
    const text = start === error.start_line - 1 ? beforeError : (lines[start] ?? "");
    depth += count(text, "}") - count(text, "{");
    if (depth < 0 && /\bmessage\b/.test(text)) break;
  }
  const used: number[] = [];
  depth = 0;
  for (let index = Math.max(0, start); index < lines.length; index++) {
    const text = lines[index] ?? "";
    for (const [, digits] of text.matchAll(/=\s*(\d+)\s*[;[]/g)) used.push(Number(digits));
    depth += count(text, "{") - count(text, "}");
    if (depth <= 0) break;
  }
  const free = String(Math.max(0, ...used) + 1);
  const replaced = replaceAt(error, number, free, source);
  return replaced === undefined
    ? []
    : [{ where: `in line ${error.start_line}, with a number that is free`, lines: [replaced] }];
}

/** The compiler sees it only at what comes next. */
function missingSemicolon({ start_line: line, start_column: column }: CompileError, source: string): Fix[] {
  const lines = source.split("\n");
  const before = (lines[line - 1] ?? "").slice(0, column - 1);
  const rest = before.trim() === "" ? lines.slice(0, line - 1) : [...lines.slice(0, line - 1), before];
  const index = rest.findLastIndex((text) => !/^\s*(\/\/.*)?$/.test(text));
  const text = (rest[index] ?? "").replace(/\s*\/\/.*$/, "").trimEnd();
  if (index < 0 || /[;{}[(,]$/.test(text)) return [];
  return [{ where: `perhaps a semicolon is missing, in line ${index + 1}`, lines: [`${text.trim()};`] }];
}

function replaceAt(error: CompileError, what: string, by: string, source: string): string | undefined {
  const text = source.split("\n")[error.start_line - 1] ?? "";
  const column = text.indexOf(what, Math.max(0, error.start_column - 1));
  return column < 0 ? undefined : `${text.slice(0, column)}${by}${text.slice(column + what.length)}`.trim();
}

function unindented(lines: readonly string[]): string[] {
  const indent = Math.min(...lines.map((text) => text.length - text.trimStart().length));
  return lines.map((text) => text.slice(indent));
}

function count(text: string, character: string): number {
  return text.split(character).length - 1;
}
