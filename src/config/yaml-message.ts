import type { DescField, DescMessage, JsonObject, JsonValue } from "@bufbuild/protobuf";
import { type Path, pathToString } from "@bufbuild/protobuf/reflect";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { type Alias, type Document, isAlias, isMap, isScalar, isSeq, type Node, Scalar } from "yaml";
import { WorkflowPolicySchema } from "../../gen/retake/v1/options_pb.js";
import { expectation, fits, isStructure, quote, unknownKey } from "./field-values.ts";

/** A message in its JSON form, read from YAML, with the place of each of its fields. */
export interface YamlMessage {
  readonly json: JsonObject;
  /** Offsets in the text, by the path of the field or element. */
  readonly offsets: ReadonlyMap<string, number>;
  readonly problems: readonly YamlProblem[];
}

export interface YamlProblem {
  readonly field: string;
  readonly message: string;
  readonly offset: number;
}

/**
 * Reads a message's JSON form out of a YAML document. Each value is tried on its own, so that every problem is found at
 * once and has a place; the JSON holds only what is right.
 */
export function readYamlMessage(schema: DescMessage, document: Document): YamlMessage {
  const reader = new Reader(document);
  const root = document.contents as Node | null;
  const json = root === null || isNull(root) ? {} : (reader.message(schema, root, []) ?? {});
  return { json, offsets: reader.offsets, problems: reader.problems };
}

interface Entry {
  readonly name: string;
  readonly key: Node;
  readonly value: Node;
}

class Reader {
  readonly offsets = new Map<string, number>();
  readonly problems: YamlProblem[] = [];
  readonly #document: Document;
  /** The policy that is being read, and what in it is given as nothing. */
  #policy: { readonly depth: number; readonly emptied: string[] } | undefined;

  constructor(document: Document) {
    this.#document = document;
  }

  message(schema: DescMessage, given: Node, path: Path): JsonObject | undefined {
    if (schema.typeName !== WorkflowPolicySchema.typeName) return this.#message(schema, given, path);
    const emptied: string[] = [];
    this.#policy = { depth: path.length, emptied };
    const json = this.#message(schema, given, path);
    this.#policy = undefined;
    // A message cannot tell what is given as nothing from what is not given, which leaves what there was before.
    if (json !== undefined && emptied.length > 0) json["clear"] = [...new Set([...listIn(json["clear"]), ...emptied])];
    return json;
  }

  #message(schema: DescMessage, given: Node, path: Path): JsonObject | undefined {
    const entries = this.#entries(given, path, "a mapping");
    if (entries === undefined) return undefined;
    const json: JsonObject = {};
    const seen = new Map<DescField, string>();
    for (const { name, key, value } of entries) {
      const field = schema.fields.find((candidate) => candidate.name === name || candidate.jsonName === name);
      if (field === undefined) {
        this.#report(path, key, unknownKey(name, schema));
        continue;
      }
      const before = seen.get(field);
      if (before !== undefined) this.#report(path, key, `"${before}" and "${name}" are the same key; keep one of them`);
      seen.set(field, name);
      const fieldPath = [...path, field];
      this.offsets.set(pathToString(fieldPath), offsetOf(key));
      if (isNull(value)) continue;
      const read = this.#field(field, value, fieldPath);
      if (read !== undefined) json[field.name] = read;
    }
    return json;
  }

  #field(field: DescField, value: Node, path: Path): JsonValue | undefined {
    switch (field.fieldKind) {
      case "list":
        return this.#list(field, value, path);
      case "map":
        return this.#map(field, value, path);
      default: {
        const json = this.#value(field, value, path, (each) => each);
        if (json !== undefined && isNothing(field, json)) this.#noteEmptied(path);
        return json;
      }
    }
  }

  #list(field: DescField & { fieldKind: "list" }, given: Node, path: Path): JsonValue | undefined {
    const node = this.#resolve(given, path);
    if (node === undefined) return undefined;
    if (!isSeq(node)) {
      this.#report(path, given, `must be a list, not ${nameOf(node)}`);
      return undefined;
    }
    if (node.items.length === 0) this.#noteEmptied(path);
    return node.items.flatMap((item, index) => {
      const itemPath: Path = [...path, { kind: "list_sub", index }];
      this.offsets.set(pathToString(itemPath), offsetOf(item as Node));
      const read = this.#value(field, item as Node, itemPath, (json) => [json]);
      return read === undefined ? [] : [read];
    });
  }

  #noteEmptied(path: Path): void {
    if (this.#policy === undefined) return;
    const within = path.slice(this.#policy.depth);
    // What is in a list is replaced with it.
    const names = within.flatMap((step) => (step.kind === "field" ? [step.name] : []));
    if (names.length === within.length && names[0] !== "clear") this.#policy.emptied.push(names.join("."));
  }

  #map(field: DescField & { fieldKind: "map" }, given: Node, path: Path): JsonValue | undefined {
    const json: JsonObject = {};
    for (const { name, key, value } of this.#entries(given, path, "a mapping") ?? []) {
      const entryPath: Path = [...path, { kind: "map_sub", key: name }];
      this.offsets.set(pathToString(entryPath), offsetOf(key));
      const read = this.#value(field, value, entryPath, (element) => ({ [name]: element }));
      if (read !== undefined) json[name] = read;
    }
    return json;
  }

  /** A single value, an element of a list or a value of a map; `wrap` makes the field's JSON of it. */
  #value(field: DescField, given: Node, path: Path, wrap: (json: JsonValue) => JsonValue): JsonValue | undefined {
    const node = this.#resolve(given, path);
    if (node === undefined) return undefined;
    if (isNull(node)) {
      this.#report(path, given, `is empty; write ${isStructure(field) ? "{}" : "a value"} or remove it`);
      return undefined;
    }
    if (field.message !== undefined && isStructure(field)) return this.message(field.message, given, path);
    const json = isScalar(node) ? (node.value as JsonValue) : undefined;
    if (json === undefined || !fits(field, wrap(json))) {
      this.#report(path, given, `must be ${expectation(field, json)}, not ${nameOf(node)}`);
      return undefined;
    }
    return json;
  }

  /** The entries of a mapping; those that it merges (`<<: *base`) come behind its own. */
  #entries(given: Node, path: Path, expected: string, merging: readonly Node[] = []): Entry[] | undefined {
    const node = this.#resolve(given, path);
    if (node === undefined) return undefined;
    if (!isMap(node)) {
      this.#report(path, given, `must be ${expected}, not ${nameOf(node)}`);
      return undefined;
    }
    if (merging.includes(node)) {
      this.#report(path, given, "merges itself");
      return undefined;
    }
    const entries = new Map<string, Entry>();
    const merged: Entry[] = [];
    for (const { key, value } of node.items as { key: Node; value: Node | null }[]) {
      if (isScalar(key) && typeof key.value === "symbol") {
        const bases = isSeq(value) ? (value.items as Node[]) : [value ?? key];
        for (const base of bases) merged.push(...(this.#entries(base, path, "a mapping", [...merging, node]) ?? []));
      } else if (isScalar(key)) {
        const name = key.source ?? String(key.value);
        entries.set(name, { name, key, value: value ?? emptyAt(key) });
      } else {
        this.#report(path, key ?? node, "has a key that is no plain text");
      }
    }
    for (const entry of merged) if (!entries.has(entry.name)) entries.set(entry.name, entry);
    return [...entries.values()];
  }

  #resolve(node: Node, path: Path): Node | undefined {
    if (!isAlias(node)) return node;
    const target = (node as Alias).resolve(this.#document);
    if (target === undefined) this.#report(path, node, `refers to the anchor "${node.source}", which is not there`);
    return target;
  }

  #report(path: Path, node: Node, message: string): void {
    this.problems.push({ field: pathToString(path), message, offset: offsetOf(node) });
  }
}

/** Whether a message that has it and one that has not are the same. */
function isNothing(field: DescField, json: JsonValue): boolean {
  if (field.presence !== FeatureSet_FieldPresence.IMPLICIT) return false;
  return (
    json === false || json === "" || json === 0 || (field.enum !== undefined && json === field.enum.values[0]?.name)
  );
}

function listIn(json: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(json) ? json : [];
}

function nameOf(node: Node): string {
  if (isMap(node)) return "a mapping";
  if (isSeq(node)) return "a list";
  return quote(isScalar(node) ? (node.source ?? String(node.value)) : String(node));
}

/** What stands behind a key without a colon. */
function emptyAt(key: Node): Node {
  const empty = new Scalar(null);
  if (key.range) empty.range = key.range;
  return empty;
}

function isNull(node: Node): boolean {
  return isScalar(node) && node.value === null;
}

function offsetOf(node: Node): number {
  return node.range?.[0] ?? 0;
}
