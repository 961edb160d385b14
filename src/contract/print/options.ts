import {
  create,
  type DescExtension,
  type DescMessage,
  getExtension,
  type Message,
  type MessageShape,
  type Registry,
  setExtension,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { toText } from "@bufbuild/protobuf/txtpb";
import { FeatureSetSchema } from "@bufbuild/protobuf/wkt";
import type { NamePrinter } from "./names.ts";

/** One option as it is written: `name = value`, where a message value spans lines. */
export interface PrintedOption {
  readonly name: string;
  readonly value: string;
}

/** The options of one element, and what of them cannot be written because no known file declares it. */
export interface PrintedOptions {
  readonly options: readonly PrintedOption[];
  readonly unresolved: readonly string[];
}

/** Writes all options that `message` sets, custom ones included, each value in the text format. */
export type OptionPrinter = <Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc> | undefined,
  scope: string,
) => PrintedOptions;

/** Creates the printer of options; custom ones are resolved through `registry`. */
export function createOptionPrinter(registry: Registry, names: NamePrinter): OptionPrinter {
  return function print(schema, message, scope) {
    const options: PrintedOption[] = [];
    const unresolved: string[] = [];
    if (message === undefined) return { options, unresolved };

    const add = (name: string, single: Message): void => {
      const value = toText(schema as DescMessage, single, { registry });
      options.push({ name, value: value.slice(value.indexOf(": ") + 2).trimEnd() });
      if (value !== toText(schema as DescMessage, single, { registry, printUnknownFields: true })) {
        unresolved.push(`a part of ${name}`);
      }
    };

    const reflected = reflect(schema, message);
    for (const field of schema.fields) {
      // Left over only where a parser did not finish its work; it has no meaning in a compiled descriptor.
      if (field.name === "uninterpreted_option" || !reflected.isSet(field)) continue;
      if (field.fieldKind === "list") {
        for (const item of reflected.get(field)) {
          const single = reflect(schema);
          single.get(field).add(item);
          add(field.name, single.message);
        }
      } else if (field.fieldKind === "message" && field.message.typeName === FeatureSetSchema.typeName) {
        const features = print(field.message, reflected.get(field).message, scope);
        for (const { name, value } of features.options) options.push({ name: `${field.name}.${name}`, value });
        unresolved.push(...features.unresolved);
      } else {
        const single = reflect(schema);
        single.set(field, reflected.get(field));
        add(field.name, single.message);
      }
    }

    for (const number of new Set(reflected.getUnknown()?.map((unknown) => unknown.no))) {
      const extension = registry.getExtensionFor(schema, number);
      if (extension === undefined) {
        unresolved.push(`field ${number} of ${schema.typeName}`);
        continue;
      }
      const name = `(${names(extension.typeName, scope)})`;
      for (const value of extensionValues(message, extension)) {
        const single = create(schema);
        setExtension(single, extension, value);
        add(name, single);
      }
    }
    return { options, unresolved };
  };
}

/** A repeated option is written once for each of its elements. */
function extensionValues(message: Message, extension: DescExtension): unknown[] {
  const value: unknown = getExtension(message, extension);
  return extension.fieldKind === "list" ? (value as unknown[]).map((item) => [item]) : [value];
}
