import { access, constants, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { ScalarType } from "@bufbuild/protobuf";
import type { ReflectMessage } from "@bufbuild/protobuf/reflect";
import { suggestion } from "../nearest-name.ts";
import { CliError, UsageError } from "./cli-error.ts";
import type { Flag } from "./command.ts";
import type { Contracts } from "./contracts.ts";
import { ExitCode } from "./exit-code.ts";
import { messageJson } from "./message-json.ts";

/** A file that is to get a result, or one field of it. */
export interface OutputFile {
  /** Names of fields, outermost first; empty for the whole result. */
  readonly path: readonly string[];
  readonly file: string;
}

export const outputFlag: Flag = {
  short: "o",
  value: "[FIELD=]FILE",
  multiple: true,
  description: "Save the result as JSON, or one field of it: the bytes or the text (poster.svg=poster.svg)",
};

/** @throws UsageError when a file cannot be written there, before anything is started that takes an hour */
export async function parseOutputs(values: readonly string[]): Promise<OutputFile[]> {
  return Promise.all(
    values.map(async (value) => {
      const { field = "", file = "" } = /^(?:(?<field>[A-Za-z_][\w.]*)=)?(?<file>.*)$/s.exec(value)?.groups ?? {};
      if (file === "") throw new UsageError(`--output ${value}: the file's name is missing`);
      const folder = dirname(resolve(file));
      await access(folder, constants.W_OK).catch((error: Error) => {
        throw new UsageError(`--output: ${folder} cannot be written to: ${error.message}`, { cause: error });
      });
      return { path: field === "" ? [] : field.split("."), file };
    }),
  );
}

/** Writes a result, or the field of it that is asked for. @throws CliError when that is not there */
export async function writeOutput(output: OutputFile, result: ReflectMessage, contracts: Contracts): Promise<void> {
  const content = await contentOf(output.path, result, contracts);
  try {
    await writeFile(output.file, content);
  } catch (error) {
    throw new CliError(`${output.file} cannot be written: ${(error as Error).message}`, ExitCode.refused, {
      cause: error,
    });
  }
}

async function contentOf(
  path: readonly string[],
  result: ReflectMessage,
  contracts: Contracts,
): Promise<Uint8Array | string> {
  let message = result;
  for (const [index, name] of path.entries()) {
    const field = message.desc.fields.find((each) => each.name === name || each.jsonName === name);
    if (field === undefined) {
      const known = message.desc.fields.map((each) => each.name);
      const which = known.length === 0 ? "it has none" : `it has ${known.join(", ")}`;
      throw new CliError(
        `--output: ${message.desc.typeName} has no field "${name}": ${which}.${suggestion(name, known)}`,
        ExitCode.usage,
      );
    }
    if (!message.isSet(field) && field.fieldKind === "message") {
      throw new CliError(`--output: the result has no ${path.slice(0, index + 1).join(".")}`, ExitCode.refused);
    }
    if (index === path.length - 1) {
      if (field.fieldKind === "scalar" && field.scalar === ScalarType.BYTES) return message.get(field) as Uint8Array;
      if (field.fieldKind === "scalar" && field.scalar === ScalarType.STRING) return message.get(field) as string;
    }
    if (field.fieldKind !== "message") {
      const rest = index < path.length - 1 ? "it has no fields of its own" : "only bytes, texts and messages are saved";
      throw new CliError(`--output: ${path.slice(0, index + 1).join(".")} is no message: ${rest}`, ExitCode.usage);
    }
    message = message.get(field);
  }
  return `${JSON.stringify(await messageJson(message.desc, message.message, contracts), undefined, 2)}\n`;
}
