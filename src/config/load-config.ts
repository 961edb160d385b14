import { readFile } from "node:fs/promises";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { ServerConfig } from "../../gen/retake/v1/config_pb.js";
import { ConfigError } from "./config-error.ts";

/**
 * Reads a configuration file: the JSON form of `ServerConfig`, written as YAML.
 *
 * @throws ConfigError when it cannot be read, or is no configuration: each problem with its line
 */
export async function loadConfig(file: string): Promise<ServerConfig> {
  return await parseConfig(decode(file, await read(file)), file);
}

/**
 * The same from text. `fileName` is for the messages.
 *
 * @throws ConfigError with every problem, each with its line
 */
export async function parseConfig(yamlText: string, fileName: string): Promise<ServerConfig> {
  // A server that is configured in code starts without the YAML library: its seventy modules are a twentieth of the start.
  const { parseYamlConfig } = await import("./yaml-config.ts");
  return parseYamlConfig(yamlText, fileName);
}

/**
 * The same of another message; an empty text is one without fields.
 *
 * @throws ConfigError with every problem, each with its line
 */
export async function parseYaml<Desc extends DescMessage>(
  schema: Desc,
  yamlText: string,
  fileName: string,
): Promise<MessageShape<Desc>> {
  const { parseYamlMessage } = await import("./yaml-config.ts");
  return parseYamlMessage(schema, yamlText, fileName);
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
