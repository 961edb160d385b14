import { readFile } from "node:fs/promises";
import { type DescMessage, fromJson, type MessageShape } from "@bufbuild/protobuf";
import { type Document, LineCounter, parseDocument } from "yaml";
import { type ServerConfig, ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { configProblems } from "./check-config.ts";
import { ConfigError, type ConfigProblem } from "./config-error.ts";
import { readYamlMessage } from "./yaml-message.ts";

/**
 * Reads a configuration file: the JSON form of `ServerConfig`, written as YAML.
 *
 * @throws ConfigError when it cannot be read, or is no configuration: each problem with its line
 */
export async function loadConfig(file: string): Promise<ServerConfig> {
  return parseConfig(decode(file, await read(file)), file);
}

/**
 * The same from text. `fileName` is for the messages.
 *
 * @throws ConfigError with every problem, each with its line
 */
export function parseConfig(yamlText: string, fileName: string): ServerConfig {
  return parseYaml(ServerConfigSchema, yamlText, fileName, configProblems);
}

/**
 * The same of another message; an empty text is one without fields.
 *
 * @throws ConfigError with every problem, each with its line
 */
export function parseYaml<Desc extends DescMessage>(
  schema: Desc,
  yamlText: string,
  fileName: string,
  check: (message: MessageShape<Desc>) => readonly ConfigProblem[] = () => [],
): MessageShape<Desc> {
  const lines = new LineCounter();
  const document = parseDocument(yamlText, { lineCounter: lines, merge: true, prettyErrors: false });
  const fail = (problems: readonly (Omit<ConfigProblem, "position"> & { offset: number })[]): void => {
    if (problems.length === 0) return;
    const sorted = [...problems].sort((a, b) => a.offset - b.offset);
    throw new ConfigError(
      fileName,
      sorted.map(({ field, message, offset }) => ({ field, message, position: positionOf(lines, offset) })),
    );
  };
  fail(syntaxProblems(document));
  const { json, offsets, problems } = readYamlMessage(schema, document);
  fail(problems);
  const message = fromJson(schema, json);
  fail(check(message).map((problem) => ({ ...problem, offset: nearestOffset(problem.field, offsets) })));
  return message;
}

async function read(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    const message = readProblems[(cause as NodeJS.ErrnoException).code ?? ""] ?? `cannot be read: ${String(cause)}`;
    throw new ConfigError(file, [{ field: "", message }], { cause });
  }
}

const readProblems: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file. Name another one, or none to start with the defaults",
  EACCES: "the file may not be read by this user. Change its permissions",
  EISDIR: "this is a directory. Name the file in it",
};

function decode(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ConfigError(file, [{ field: "", message: "the file is no UTF-8 text" }], { cause });
  }
}

function syntaxProblems({ errors, warnings }: Document): { field: string; message: string; offset: number }[] {
  return [...errors, ...warnings].map(({ code, message, pos: [offset] }) => ({
    field: "",
    message: explanations[code] ?? message,
    offset,
  }));
}

const explanations: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: "this key is given twice; keep one of them",
  MULTIPLE_DOCS: 'a configuration is one document; remove the "---" and what follows it',
};

/** Of a field that is not in the file: where it would be, in the message around it. */
function nearestOffset(field: string, offsets: ReadonlyMap<string, number>): number {
  for (let path = field; path !== ""; path = path.slice(0, Math.max(path.lastIndexOf("."), path.lastIndexOf("[")))) {
    const offset = offsets.get(path);
    if (offset !== undefined) return offset;
    if (!/[.[]/.test(path)) break;
  }
  return 0;
}

function positionOf(lines: LineCounter, offset: number): { line: number; column: number } {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}
