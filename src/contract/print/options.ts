import {
  create,
  type DescEnum,
  type DescExtension,
  type DescField,
  type DescMessage,
  fromJson,
  getExtension,
  isMessage,
  type JsonValue,
  type Message,
  type MessageShape,
  type Registry,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Any, AnySchema, anyUnpack, FeatureSetSchema, StructSchema } from "@bufbuild/protobuf/wkt";
import type { Path } from "./context.ts";
import { indent } from "./layout.ts";
import { scalarLiteral } from "./literal.ts";
import type { NamePrinter } from "./names.ts";

/** One option as it is written: `name = value`, where a message value may span lines. */
export interface PrintedOption {
  readonly name: string;
  readonly value: string;
}

/** An option with its path within the options message, the key of its comments. */
export interface LocatedOption extends PrintedOption {
  readonly path: Path;
}

/** The options of one element, and what of them cannot be written because no known file declares it. */
export interface PrintedOptions<Option extends PrintedOption = PrintedOption> {
  readonly options: readonly Option[];
  readonly unresolved: readonly string[];
}

/** Writes all options that `message` sets, custom ones included, each value in the text format. */
export type OptionPrinter = <Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc> | undefined,
  scope: string,
) => PrintedOptions<LocatedOption>;

/** Creates the printer of options; custom ones are resolved through `registry`. */
export function createOptionPrinter(registry: Registry, names: NamePrinter): OptionPrinter {
  return (schema, message, scope) => {
    const unresolved: string[] = [];
    if (message === undefined) return { options: [], unresolved };
    const printer = new ValuePrinter(registry, unresolved);
    const options = printer.members(reflect(schema, message), (extension) => `(${names(extension.typeName, scope)})`);
    return { options, unresolved };
  };
}

class ValuePrinter {
  readonly #registry: Registry;
  readonly #unresolved: string[];

  constructor(registry: Registry, unresolved: string[]) {
    this.#registry = registry;
    this.#unresolved = unresolved;
  }

  /** Everything that is set in `message`, a repeated field once for each of its elements. */
  members(message: ReflectMessage, extensionName: (extension: DescExtension) => string): LocatedOption[] {
    const members: LocatedOption[] = [];
    for (const field of message.fields) {
      // What a parser left uninterpreted has no meaning in a compiled descriptor.
      if (field.name === "uninterpreted_option" || !message.isSet(field)) continue;
      if (field.fieldKind === "message" && field.message.typeName === FeatureSetSchema.typeName) {
        const features = this.members(message.get(field), extensionName);
        const nested = features.map(({ name, value, path }): LocatedOption => {
          return { name: `${field.name}.${name}`, value, path: [field.number, ...path] };
        });
        members.push(...nested);
      } else {
        members.push(...named(field.name, field, this.#values(field, message)));
      }
    }
    for (const number of new Set(message.getUnknown()?.map((unknown) => unknown.no))) {
      const extension = this.#registry.getExtensionFor(message.desc, number);
      if (extension === undefined) this.#unresolved.push(`field ${number} of ${message.desc.typeName}`);
      else {
        members.push(...named(extensionName(extension), extension, this.#extensionValues(extension, message.message)));
      }
    }
    return members;
  }

  #values(field: DescField, message: ReflectMessage): string[] {
    switch (field.fieldKind) {
      case "list":
        return Array.from(message.get(field), (item) => this.#value(field, item));
      case "map":
        return Array.from(message.get(field), ([key, value]) =>
          block([`key: ${scalarLiteral(field.mapKey, key)}`, `value: ${this.#value(field, value)}`]),
        );
      default:
        return [this.#value(field, message.get(field))];
    }
  }

  #extensionValues(extension: DescExtension, message: Message): string[] {
    const value: unknown = getExtension(message, extension);
    const values = extension.fieldKind === "list" ? (value as unknown[]) : [value];
    return values.map((item) => this.#value(extension, extension.message ? boxed(extension.message, item) : item));
  }

  /** One value of the type that the field, or each of its elements, has. */
  #value(
    type: { enum: DescEnum | undefined; message: DescMessage | undefined; scalar: ScalarType | undefined },
    value: unknown,
  ): string {
    if (type.enum !== undefined) return type.enum.value[value as number]?.name ?? String(value);
    if (type.message !== undefined) return this.#message(value as ReflectMessage);
    return scalarLiteral(type.scalar ?? ScalarType.STRING, value);
  }

  #message(message: ReflectMessage): string {
    const packed = isMessage(message.message, AnySchema) ? this.#unpack(message.message) : undefined;
    if (packed !== undefined) return block([`[${packed.typeUrl}]: ${this.#message(packed.content)}`]);
    // Within a value an extension goes by its full name, and a group by the name of its field.
    const members = this.members(message, (extension) => `[${extension.typeName}]`);
    return block(members.map(({ name, value }) => `${name}: ${value}`));
  }

  /** What an Any holds, unless writing it out would not give the same bytes again. */
  #unpack(any: Any): { typeUrl: string; content: ReflectMessage } | undefined {
    const desc = this.#registry.getMessage(any.typeUrl.replace(/^type\.googleapis\.com\//, ""));
    if (desc === undefined || !any.typeUrl.startsWith("type.googleapis.com/")) return undefined;
    let content: Message | undefined;
    try {
      content = anyUnpack(any, this.#registry);
    } catch {
      return undefined;
    }
    if (content === undefined || Buffer.compare(toBinary(desc, content), any.value) !== 0) return undefined;
    return { typeUrl: any.typeUrl, content: reflect(desc, content) };
  }
}

function named(name: string, field: DescField | DescExtension, values: readonly string[]): LocatedOption[] {
  const isList = field.fieldKind === "list" || field.fieldKind === "map";
  return values.map((value, index) => ({ name, value, path: isList ? [field.number, index] : [field.number] }));
}

/** Protobuf-ES hands out wrappers as their bare value, and a Struct as JSON. */
function boxed(desc: DescMessage, value: unknown): ReflectMessage {
  if (isMessage(value, desc)) return reflect(desc, value);
  if (desc.typeName === StructSchema.typeName) return reflect(desc, fromJson(desc, value as JsonValue));
  return reflect(desc, create(desc, { value }));
}

function block(members: readonly string[]): string {
  if (members.length === 0) return "{}";
  return ["{", ...indent(members.flatMap((member) => member.split("\n"))), "}"].join("\n");
}
