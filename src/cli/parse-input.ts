import { type DescMessage, fromJson, type JsonValue, type Message } from "@bufbuild/protobuf";
import { type JsonProblem, jsonProblems } from "../config/index.ts";
import { UsageError } from "./cli-error.ts";
import type { Contracts } from "./contracts.ts";
import type { InputText } from "./read-input.ts";

/** @throws UsageError when it is no JSON, saying where */
export function assertJson({ source, text }: InputText): JsonValue {
  if (text.trim() === "") throw new UsageError(`${source} is empty; an empty request is {}`);
  try {
    return JSON.parse(text, keepIntegers as Parameters<typeof JSON.parse>[1]) as JsonValue;
  } catch (error) {
    throw new UsageError(`${source} is no JSON: ${(error as Error).message}`, { cause: error });
  }
}

/** A request out of its JSON form. @throws UsageError with the path of everything that is wrong */
export async function parseInput(input: InputText, schema: DescMessage, contracts: Contracts): Promise<Message> {
  const json = assertJson(input);
  await contracts.learn(typesIn(json));
  try {
    return fromJson(schema, json, { registry: contracts.registry });
  } catch (error) {
    const found = jsonProblems(schema, input.text);
    const problems: readonly JsonProblem[] =
      found.length > 0 ? found : [{ field: "", message: (error as Error).message }];
    throw new UsageError(
      [
        `${input.source} is no ${schema.typeName}:`,
        ...problems.map(({ field, message }) => (field === "" ? message : `${field}: ${message}`)),
      ].join("\n"),
      { cause: error },
    );
  }
}

/** Integers that a double would round stay texts, which protobuf JSON takes for 64 bits too. */
function keepIntegers(_: string, value: unknown, context: { readonly source: string }): unknown {
  return typeof value === "number" &&
    Number.isInteger(value) &&
    !Number.isSafeInteger(value) &&
    /^-?\d+$/.test(context.source)
    ? context.source
    : value;
}

/** The types of the `Any`s in a JSON text. */
function typesIn(json: JsonValue): string[] {
  if (json === null || typeof json !== "object") return [];
  if (Array.isArray(json)) return json.flatMap(typesIn);
  const type = json["@type"];
  const own = typeof type === "string" ? [type.slice(type.lastIndexOf("/") + 1)] : [];
  return [...own, ...Object.values(json).flatMap(typesIn)];
}
