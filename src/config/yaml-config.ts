import { type DescMessage, fromJson, type MessageShape } from "@bufbuild/protobuf";
import { type Document, LineCounter, parseDocument } from "yaml";
import { type ServerConfig, ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { configProblems } from "./check-config.ts";
import { ConfigError, type ConfigProblem } from "./config-error.ts";
import { rememberPlaces } from "./config-places.ts";
import { readYamlMessage } from "./yaml-message.ts";

/**
 * Reads a configuration from YAML. `fileName` is for the messages.
 *
 * @throws ConfigError with every problem, each with its line
 */
export function parseYamlConfig(yamlText: string, fileName: string): ServerConfig {
  return parseYamlMessage(ServerConfigSchema, yamlText, fileName, configProblems);
}

/**
 * The same of another message; an empty text is one without fields.
 *
 * @throws ConfigError with every problem, each with its line
 */
export function parseYamlMessage<Desc extends DescMessage>(
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
      sorted.map(({ field, message, offset }) => ({ field, message, position: positionOfOffset(lines, offset) })),
    );
  };
  fail(syntaxProblems(document));
  const { json, offsets, problems } = readYamlMessage(schema, document);
  fail(problems);
  const message = fromJson(schema, json);
  fail(check(message).map((problem) => ({ ...problem, offset: nearestOffset(problem.field, offsets) ?? 0 })));
  const positionOf = (field: string): ConfigProblem["position"] => {
    const offset = nearestOffset(field, offsets);
    return offset === undefined ? undefined : positionOfOffset(lines, offset);
  };
  rememberPlaces(message, { fileName, positionOf });
  return message;
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
function nearestOffset(field: string, offsets: ReadonlyMap<string, number>): number | undefined {
  for (let path = field; path !== ""; path = path.slice(0, Math.max(path.lastIndexOf("."), path.lastIndexOf("[")))) {
    const offset = offsets.get(path);
    if (offset !== undefined) return offset;
    if (!/[.[]/.test(path)) break;
  }
  return undefined;
}

function positionOfOffset(lines: LineCounter, offset: number): { line: number; column: number } {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}
