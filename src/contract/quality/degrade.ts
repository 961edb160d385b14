import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { type Path, pathToString, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Validator } from "@bufbuild/protovalidate";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import { hasRules } from "../has-rules.ts";
import type { Lowering } from "./lowering.ts";
import { qualityRules } from "./rules.ts";

/**
 * Lets a message ask for no more than a level does, in place, and tells which fields that has changed, by path:
 * "shots.steps" stands for that field in any of the shots.
 *
 * 1. The message stays valid, or as invalid as it was: contracts may have become stricter since it was accepted. A field whose validation rules forbid its value at the level has that of the lowest level
 *    above at which they allow it; where a rule of a whole message is broken, no field is lower than the next level up.
 * 2. So a lower level never asks for more than a higher one, FULL changes nothing, and what is unset stays unset.
 * 3. Levels do not add up: start from what the caller sent.
 */
export function degrade(
  schema: DescMessage,
  message: Message,
  level: Quality,
  validator: Pick<Validator, "validate">,
): string[] {
  const places: Place[] = [];
  collect(reflect(schema, message), [], undefined, places);
  if (level >= Quality.FULL || places.length === 0) return [];
  const before = violations(schema, message, validator);
  const broken = (): ReadonlySet<string> =>
    new Set([...violations(schema, message, validator)].flatMap(([rule, path]) => (before.has(rule) ? [] : [path])));
  for (let floor = level; floor < Quality.FULL; floor++) {
    for (const place of places) place.take(floor);
    if (lowerToValid(places, broken)) break;
    for (const place of places) place.take(Quality.FULL);
  }
  return [...new Set(places.filter(({ changed }) => changed).map(({ name }) => name))];
}

/** Raises the fields that are not valid, one level after the other; false when it is not up to them. */
function lowerToValid(places: readonly Place[], broken: () => ReadonlySet<string>): boolean {
  for (;;) {
    const paths = broken();
    if (paths.size === 0) return true;
    const culprits = places.filter((place) => place.changed && paths.has(place.path));
    if (culprits.length < paths.size) return false;
    for (const place of culprits) place.take(place.level + 1);
  }
}

/** The rules that the message breaks, each with the path of what breaks it; no path for a rule that cannot be applied. */
function violations(
  schema: DescMessage,
  message: Message,
  validator: Pick<Validator, "validate">,
): ReadonlyMap<string, string> {
  if (!hasRules(schema)) return new Map();
  const checked = validator.validate(schema, message as never);
  switch (checked.kind) {
    case "valid":
      return new Map();
    case "invalid":
      return new Map(
        checked.violations.map(({ field, ruleId }) => {
          const path = pathToString(field);
          return [`${ruleId} ${path}`, path];
        }),
      );
    case "error":
      return new Map([["", ""]]);
  }
}

/** A field of one message, with what its caller has sent. */
class Place {
  readonly path: string;
  readonly name: string;
  level: Quality = Quality.FULL;
  readonly #message: ReflectMessage;
  readonly #field: DescField;
  readonly #lower: Lowering;
  readonly #sent: unknown;
  #value: unknown;
  /** The place of a field that holds this one. */
  readonly #within: Place | undefined;

  constructor(message: ReflectMessage, field: DescField, lower: Lowering, path: Path, within: Place | undefined) {
    this.path = pathToString([...path, field]);
    this.name = [...path, field].flatMap((part) => ("name" in part ? [part.name] : [])).join(".");
    this.#message = message;
    this.#field = field;
    this.#lower = lower;
    this.#sent = message.get(field);
    this.#value = this.#sent;
    this.#within = within;
  }

  /** Whether it differs from what was sent; within a message that is gone, nothing does. */
  get changed(): boolean {
    return this.#value !== this.#sent && this.#within?.gone !== true;
  }

  get gone(): boolean {
    return this.#value === undefined || this.#within?.gone === true;
  }

  take(level: Quality): void {
    this.level = level;
    const value = this.#lower(this.#sent, level);
    if (value === this.#value) return;
    this.#value = value;
    if (value === undefined) this.#message.clear(this.#field);
    else this.#message.set(this.#field, value);
  }
}

/** All places of a message, those that hold others before them. */
function collect(message: ReflectMessage, path: Path, within: Place | undefined, places: Place[]): void {
  const { fields, nested } = qualityRules(message.desc);
  const own = new Map<DescField, Place>();
  for (const { field, lower } of fields) {
    if (!message.isSet(field)) continue;
    const place = new Place(message, field, lower, path, within);
    own.set(field, place);
    places.push(place);
  }
  for (const field of nested) {
    if (!message.isSet(field)) continue;
    const holder = own.get(field) ?? within;
    switch (field.fieldKind) {
      case "message":
        collect(message.get(field), [...path, field], holder, places);
        break;
      case "list":
        for (const [index, item] of [...message.get(field)].entries()) {
          collect(item as ReflectMessage, [...path, field, { kind: "list_sub", index }], holder, places);
        }
        break;
      case "map":
        for (const [key, item] of message.get(field).entries()) {
          const sub = { kind: "map_sub", key: key as string | number | bigint | boolean } as const;
          collect(item as ReflectMessage, [...path, field, sub], holder, places);
        }
        break;
    }
  }
}
