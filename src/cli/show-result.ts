import type { JsonValue } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import type { Payload } from "../../gen/retake/v1/run_pb.js";
import { CliError } from "./cli-error.ts";
import type { Contracts } from "./contracts.ts";
import { counted } from "./display/event-text.ts";
import { ExitCode } from "./exit-code.ts";
import { type CliIo, writeLines } from "./io.ts";
import { messageJson, typeNameOf, unpackAny } from "./message-json.ts";
import { type OutputFile, writeOutput } from "./output-file.ts";

/** A terminal is no place for a film. */
const longestText = 1_000;

/** Saves a result where it is wanted, or prints it. */
export async function showResult(
  result: Payload | undefined,
  outputs: readonly OutputFile[],
  contracts: Contracts,
  io: CliIo,
): Promise<void> {
  if (outputs.length === 0) {
    await showPayload("result", result, contracts, io, { short: io.isTTY });
    return;
  }
  const message = result?.value && (await unpackAny(result.value, contracts));
  if (message === undefined)
    throw new CliError(`the result cannot be saved: ${whyNot(result, contracts)}`, ExitCode.refused);
  for (const output of outputs) {
    await writeOutput(output, message, contracts);
    writeLines(io.stderr, `Saved ${output.file}`);
  }
}

/** Prints a message as JSON; `short` cuts texts that are longer than anybody reads. */
export async function showPayload(
  name: string,
  payload: Payload | undefined,
  contracts: Contracts,
  io: CliIo,
  { short }: { readonly short: boolean },
): Promise<void> {
  const any = payload?.value;
  const message = any && (await unpackAny(any, contracts));
  if (message === undefined)
    writeLines(io.stderr, `The ${name} cannot be shown as JSON: ${whyNot(payload, contracts)}.`);
  if (message !== undefined) printJson(await messageJson(message.desc, message.message, contracts), short, io);
  else if (any !== undefined) printJson(await messageJson(AnySchema, any, contracts), short, io);
}

function whyNot(payload: Payload | undefined, contracts: Contracts): string {
  if (payload?.value === undefined) return "it is no longer stored";
  const what = `${typeNameOf(payload.value)}, ${payload.value.value.length} bytes`;
  return contracts.off
    ? `the server's reflection is off, so its type is unknown (${what})`
    : `the server's reflection does not know its type (${what})`;
}

function printJson(json: JsonValue, short: boolean, io: CliIo): void {
  if (!short) {
    writeLines(io.stdout, JSON.stringify(json, undefined, 2));
    return;
  }
  const shortened: string[] = [];
  writeLines(io.stdout, JSON.stringify(shorten(json, "", shortened), undefined, 2));
  const [first] = shortened;
  if (first !== undefined) {
    writeLines(
      io.stderr,
      `${counted(shortened.length, "long text")} cut short. With --output ${first}=FILE it is saved whole.`,
    );
  }
}

function shorten(json: JsonValue, path: string, shortened: string[]): JsonValue {
  if (typeof json === "string" && json.length > longestText) {
    shortened.push(path);
    return `${json.slice(0, 40)}… (${json.length.toLocaleString("en")} characters)`;
  }
  if (json === null || typeof json !== "object") return json;
  if (Array.isArray(json)) return json.map((each, index) => shorten(each, `${path}[${index}]`, shortened));
  return Object.fromEntries(
    Object.entries(json).map(([name, each]) => [
      name,
      shorten(each, path === "" ? name : `${path}.${name}`, shortened),
    ]),
  );
}
