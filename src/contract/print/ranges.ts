import { type DescriptorProto, type EnumDescriptorProto, ExtensionRangeOptionsSchema } from "@bufbuild/protobuf/wkt";
import { type Path, type PrintContext, usesEditions } from "./context.ts";
import { type Declaration, statement, withOptions } from "./layout.ts";
import { stringLiteral } from "./literal.ts";
import { type Comments, commentsOf, type Position } from "./source.ts";

/** First and last number, both included. */
interface Range {
  readonly first: number;
  readonly last: number;
}

/** The largest field number, and that of a MessageSet: either is written `max`. */
const MAX_FIELD_NUMBERS = [2 ** 29 - 1, 2 ** 31 - 2];
const MAX_ENUM_NUMBER = 2 ** 31 - 1;

/** Prints what a message or an enum reserves, one statement for numbers and one for names unless the source had more. */
export function printReserved(
  context: PrintContext,
  reserving: DescriptorProto | EnumDescriptorProto,
  rangesPath: Path,
  namesPath: Path,
): Declaration[] {
  const isEnum = reserving.$typeName === "google.protobuf.EnumDescriptorProto";
  const ranges = reserving.reservedRange.map(({ start, end }): string =>
    // Only the ranges of enums include their end.
    isEnum
      ? printRange({ first: start, last: end }, [MAX_ENUM_NUMBER])
      : printRange({ first: start, last: end - 1 }, MAX_FIELD_NUMBERS),
  );
  const names = reserving.reservedName.map((name) => (usesEditions(context) ? name : stringLiteral(name)));
  return [...reservedStatements(context, ranges, rangesPath), ...reservedStatements(context, names, namesPath)];
}

/** Prints the extension ranges of a message, those with equal options together unless the source had them apart. */
export function printExtensionRanges(
  context: PrintContext,
  message: DescriptorProto,
  scope: string,
  path: Path,
): Declaration[] {
  const printed = message.extensionRange.map(({ start, end, options }, index) => ({
    text: printRange({ first: start, last: end - 1 }, MAX_FIELD_NUMBERS),
    options: context.options(ExtensionRangeOptionsSchema, options, scope),
    written: written(context, [...path, index]),
  }));
  const groups = groupNeighbours(printed, ({ written, options }) => written.key ?? JSON.stringify(options));
  return groups.map(([first, ...rest]) => {
    const ranges = [first, ...rest].map(({ text }) => text).join(", ");
    return {
      lines: statement(withOptions(`extensions ${ranges}`, first.options), first.written.comments),
      position: first.written.position,
    };
  });
}

function reservedStatements(context: PrintContext, items: readonly string[], path: Path): Declaration[] {
  const printed = items.map((text, index) => ({ text, written: written(context, [...path, index]) }));
  return groupNeighbours(printed, ({ written }) => written.key).map(([first, ...rest]) => {
    const line = `reserved ${[first, ...rest].map(({ text }) => text).join(", ")};`;
    return { lines: statement([line], first.written.comments), position: first.written.position };
  });
}

function written(
  { source }: PrintContext,
  path: Path,
): { key: unknown; comments: Comments; position: Position | undefined } {
  const key = source.statement(path);
  return { key, comments: commentsOf(key), position: source.position(path) };
}

function printRange({ first, last }: Range, max: readonly number[]): string {
  if (max.includes(last)) return `${first} to max`;
  return first === last ? `${first}` : `${first} to ${last}`;
}

function groupNeighbours<T>(items: readonly T[], keyOf: (item: T) => unknown): [T, ...T[]][] {
  const groups: [T, ...T[]][] = [];
  for (const item of items) {
    const group = groups.at(-1);
    if (group !== undefined && keyOf(group[0]) === keyOf(item)) group.push(item);
    else groups.push([item]);
  }
  return groups;
}
