import type { DescField, DescMessage, JsonValue, Registry } from "@bufbuild/protobuf";
import { type Path, pathToString } from "@bufbuild/protobuf/reflect";
import { expectation, fits, isStructure, quote, unknownKey } from "./field-values.ts";

/** What is wrong with one field of a message's JSON form. */
export interface JsonProblem {
  /** Its path, like `scenes[2].duration`; empty for the message as a whole. */
  readonly field: string;
  readonly message: string;
}

/** Nobody mends more at once, and whoever sends nonsense gets no more of our time for it. */
const mostProblems = 50;

/** In characters. A longer text is not looked through: that would keep others waiting. */
const longestText = 64 * 1024;

/** Where the decoder stops as well. */
const deepestPath = 100;

/**
 * What is wrong with the JSON form of a message, each problem by its field. None when all of it can be read, and none
 * where the text is too long to be looked through: the decoder's own message is all there is then.
 */
export function jsonProblems(schema: DescMessage, text: string, registry?: Registry): readonly JsonProblem[] {
  if (text.length > longestText) return [];
  let json: JsonValue;
  try {
    json = JSON.parse(text) as JsonValue;
  } catch (error) {
    return [{ field: "", message: `is no JSON: ${(error as SyntaxError).message}` }];
  }
  const search = new Search(registry);
  search.message(schema, json, []);
  return search.problems;
}

class Search {
  readonly problems: JsonProblem[] = [];
  readonly #registry: Registry | undefined;

  constructor(registry: Registry | undefined) {
    this.#registry = registry;
  }

  message(schema: DescMessage, json: JsonValue, path: Path): void {
    if (!isObject(json)) {
      this.#report(path, `must be an object, not ${nameOf(json)}`);
      return;
    }
    for (const [name, value] of Object.entries(json)) {
      if (this.problems.length >= mostProblems) return;
      // In brackets stand extensions, which the decoder knows.
      if (name.startsWith("[")) continue;
      const field = schema.fields.find((candidate) => candidate.name === name || candidate.jsonName === name);
      if (field === undefined) {
        this.#report(path, unknownKey(name, schema));
      } else if (!fits(field, value, this.#registry)) {
        this.#field(field, value, [...path, field]);
      }
    }
  }

  /** Something in it does not fit. */
  #field(field: DescField, json: JsonValue, path: Path): void {
    switch (field.fieldKind) {
      case "list":
        if (!Array.isArray(json)) {
          this.#report(path, `must be a list, not ${nameOf(json)}`);
          return;
        }
        for (const [index, element] of json.entries()) {
          if (this.problems.length >= mostProblems) return;
          this.#element(field, element, [element], [...path, { kind: "list_sub", index }]);
        }
        return;
      case "map":
        if (!isObject(json)) {
          this.#report(path, `must be an object, not ${nameOf(json)}`);
          return;
        }
        for (const [key, element] of Object.entries(json)) {
          if (this.problems.length >= mostProblems) return;
          this.#element(field, element, { [key]: element }, [...path, { kind: "map_sub", key }]);
        }
        return;
      default:
        this.#single(field, json, path);
    }
  }

  #element(field: DescField, element: JsonValue, wrapped: JsonValue, path: Path): void {
    if (!fits(field, wrapped, this.#registry)) this.#single(field, element, path);
  }

  #single(field: DescField, json: JsonValue, path: Path): void {
    if (path.length > deepestPath) {
      this.#report([], `is nested more than ${deepestPath} levels deep`);
    } else if (field.message !== undefined && isStructure(field)) {
      this.message(field.message, json, path);
    } else {
      this.#report(path, `must be ${expectation(field, json)}, not ${nameOf(json)}`);
    }
  }

  #report(path: Path, message: string): void {
    this.problems.push({ field: pathToString(path), message });
  }
}

function isObject(json: JsonValue): json is { [key: string]: JsonValue } {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function nameOf(json: JsonValue): string {
  if (Array.isArray(json)) return "a list";
  if (isObject(json)) return "an object";
  return typeof json === "string" ? quote(json) : String(json);
}
