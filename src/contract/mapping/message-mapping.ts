import {
  create,
  type DescEnum,
  type DescField,
  type DescMessage,
  type Message,
  type ScalarType,
} from "@bufbuild/protobuf";
import { isReflectMessage, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import { type Convert, scalarConversion } from "./scalar-conversion.ts";
import { typeText } from "./type-text.ts";

/** A field of which something does not arrive. */
export interface LostField {
  /** From the outermost message on: `storyboard.scenes`. */
  readonly path: string;
  readonly field: DescField;
  /** The message that ought to have it. */
  readonly into: DescMessage;
  /** What is lost, where it is not the whole field. */
  readonly part?: string;
}

/** Two fields of one name that cannot hold the same values. */
export interface MisfitField {
  readonly path: string;
  readonly message: string;
}

/** How the messages of one type become messages of another: field by field, by name. */
export interface MessageMapping {
  readonly misfits: readonly MisfitField[];
  readonly losses: readonly LostField[];
  /** What does not fit is left unset. */
  map(message: Message): Message;
}

/**
 * Compares two types field by field, by name, and nested messages in the same way. Numbers may become wider ones, enums
 * map by the names of their values, wrappers and what they wrap are interchangeable; other well-known types map to
 * themselves only. Two equal types need no mapping: a message stays itself.
 */
export function messageMapping(from: DescMessage, into: DescMessage): MessageMapping {
  const compiler = new Compiler();
  const copies = compiler.plan(from, into, "");
  return {
    misfits: compiler.misfits,
    losses: compiler.losses,
    map: (message) =>
      from === into ? message : (copyMessage(copies, reflect(from, message), into).message as Message),
  };
}

/** Copies one field. */
type Copy = (source: ReflectMessage, target: ReflectMessage) => void;

function copyMessage(copies: readonly Copy[], source: ReflectMessage, into: DescMessage): ReflectMessage {
  const target = reflect(into, create(into));
  for (const copy of copies) copy(source, target);
  return target;
}

class Compiler {
  readonly misfits: MisfitField[] = [];
  readonly losses: LostField[] = [];
  /** Types may contain themselves. */
  readonly #plans = new Map<DescMessage, Map<DescMessage, Copy[]>>();

  plan(from: DescMessage, into: DescMessage, path: string): readonly Copy[] {
    const known = this.#plans.get(from)?.get(into);
    if (known !== undefined) return known;
    const copies: Copy[] = [];
    const plans = this.#plans.get(from) ?? new Map<DescMessage, Copy[]>();
    this.#plans.set(from, plans.set(into, copies));
    if (from === into) return copies;
    for (const field of from.fields) {
      const place = path === "" ? field.name : `${path}.${field.name}`;
      const twin = into.fields.find(({ name }) => name === field.name);
      if (twin === undefined) {
        this.losses.push({ path: place, field, into });
        continue;
      }
      const copy = this.#field(field, twin, place);
      if (copy === undefined) this.misfits.push({ path: place, message: misfit(field, twin) });
      else copies.push(copy);
    }
    this.#findAlternatives(from, into, path);
    return copies;
  }

  #field(field: DescField, twin: DescField, path: string): Copy | undefined {
    if (field.fieldKind === "list" || twin.fieldKind === "list") {
      if (field.fieldKind !== "list" || twin.fieldKind !== "list") return undefined;
      const convert = this.#value(field, twin, path);
      return (
        convert &&
        ((source, target) => {
          const items = target.get(twin);
          for (const item of source.get(field)) {
            const value = convert(item);
            if (value !== undefined) items.add(value);
          }
        })
      );
    }
    if (field.fieldKind === "map" || twin.fieldKind === "map") {
      if (field.fieldKind !== "map" || twin.fieldKind !== "map") return undefined;
      const convertKey = scalarConversion(field.mapKey, twin.mapKey);
      const convert = this.#value(field, twin, path);
      return (
        convertKey &&
        convert &&
        ((source, target) => {
          const entries = target.get(twin);
          for (const [key, item] of source.get(field)) {
            const value = convert(item);
            if (value !== undefined) entries.set(convertKey(key) as string, value);
          }
        })
      );
    }
    const convert = this.#value(field, twin, path);
    return (
      convert &&
      ((source, target) => {
        if (!source.isSet(field)) return;
        const value = convert(source.get(field));
        if (value !== undefined) target.set(twin, value);
      })
    );
  }

  /** How a single value, an item or an entry's value becomes that of its twin. */
  #value(field: DescField, twin: DescField, path: string): Convert | undefined {
    const [from, into] = [kindOf(field), kindOf(twin)];
    if (from.message !== undefined && into.message !== undefined)
      return this.#message(from.message, into.message, path);
    if (from.message !== undefined) return unwrapping(from.message, into.scalar);
    if (into.message !== undefined) return wrapping(from.scalar, into.message);
    if (from.enum !== undefined && into.enum !== undefined)
      return this.#enum(field, twin.parent, from.enum, into.enum, path);
    return from.scalar === undefined || into.scalar === undefined
      ? undefined
      : scalarConversion(from.scalar, into.scalar);
  }

  #message(from: DescMessage, into: DescMessage, path: string): Convert | undefined {
    if (from === into) return (value) => value;
    const isWellKnown = isReserved(from) || isReserved(into);
    if (isWellKnown && !(isWrapperDesc(from) && isWrapperDesc(into))) return undefined;
    const misfitsBefore = this.misfits.length;
    const copies = this.plan(from, into, path);
    // A wrapper is one value: what does not fit within it does not fit at all.
    if (isWellKnown && this.misfits.length > misfitsBefore) {
      this.misfits.length = misfitsBefore;
      return undefined;
    }
    return (value) => (isReflectMessage(value) ? copyMessage(copies, value, into) : undefined);
  }

  #enum(field: DescField, parent: DescMessage, from: DescEnum, into: DescEnum, path: string): Convert | undefined {
    if (from === into) return (value) => value;
    const numbers = new Map<number, number>();
    const lost: string[] = [];
    for (const value of from.values) {
      const twin =
        into.values.find(({ name }) => name === value.name) ??
        into.values.find(({ localName }) => localName === value.localName);
      if (twin !== undefined) numbers.set(value.number, twin.number);
      else if (!numbers.has(value.number)) lost.push(value.name);
    }
    // What every enum has in common is that nothing is said.
    const says = from.values.some(({ number }) => number !== 0);
    if (says && ![...numbers.keys()].some((number) => number !== 0)) return undefined;
    if (lost.length > 0) this.losses.push({ path, field, into: parent, part: `its ${listOf("value", lost)}` });
    return (value) => numbers.get(value as number);
  }

  /** Fields that can be set together, and become members of one oneof: the last one is kept. */
  #findAlternatives(from: DescMessage, into: DescMessage, path: string): void {
    for (const oneof of into.oneofs) {
      const names = new Set(oneof.fields.map(({ name }) => name));
      const sources = from.fields.filter(({ name }) => names.has(name));
      const [first, ...others] = sources;
      if (first === undefined || others.every((field) => field.oneof !== undefined && field.oneof === first.oneof))
        continue;
      for (const field of sources.slice(0, -1)) {
        const others = sources.filter((other) => other !== field).map(({ name }) => `"${name}"`);
        const place = path === "" ? field.name : `${path}.${field.name}`;
        this.losses.push({ path: place, field, into, part: `it, where ${others.join(" or ")} is set as well` });
      }
    }
  }
}

interface ValueKind {
  readonly scalar?: ScalarType | undefined;
  readonly enum?: DescEnum | undefined;
  readonly message?: DescMessage | undefined;
}

function kindOf(field: DescField): ValueKind {
  return { scalar: field.scalar, enum: field.enum, message: field.message };
}

function unwrapping(from: DescMessage, into: ScalarType | undefined): Convert | undefined {
  const [wrapped] = from.fields;
  if (!isWrapperDesc(from) || wrapped?.fieldKind !== "scalar" || into === undefined) return undefined;
  const convert = scalarConversion(wrapped.scalar, into);
  return convert && ((value) => (isReflectMessage(value) ? convert(value.get(wrapped)) : undefined));
}

function wrapping(from: ScalarType | undefined, into: DescMessage): Convert | undefined {
  const [wrapped] = into.fields;
  if (!isWrapperDesc(into) || wrapped?.fieldKind !== "scalar" || from === undefined) return undefined;
  const convert = scalarConversion(from, wrapped.scalar);
  return (
    convert &&
    ((value) => {
      const wrapper = reflect(into, create(into));
      wrapper.set(wrapped, convert(value));
      return wrapper;
    })
  );
}

function isReserved({ typeName }: DescMessage): boolean {
  return typeName.startsWith("google.protobuf.");
}

function misfit(field: DescField, twin: DescField): string {
  return `is ${typeText(field)} in ${field.parent.typeName}, and ${typeText(twin)} in ${twin.parent.typeName}`;
}

function listOf(what: string, names: readonly string[]): string {
  return `${what}${names.length === 1 ? "" : "s"} ${names.join(", ")}`;
}
