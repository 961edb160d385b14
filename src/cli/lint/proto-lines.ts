import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";

/** Reserved by protobuf for itself. */
const internal = { first: 19_000, last: 19_999 };

/** The first number behind all that a message uses or reserves. */
export function freeNumber({ fields, proto }: DescMessage, among: Iterable<number> = []): number {
  const used = [...fields.map(({ number }) => number), ...proto.reservedRange.map(({ end }) => end - 1), ...among];
  const next = Math.max(0, ...used) + 1;
  return next >= internal.first && next <= internal.last ? internal.last + 1 : next;
}

/** The type of a field as a file in some package would write it. */
export function typeText(field: DescField, packageName: string): string {
  switch (field.fieldKind) {
    case "list":
      return `repeated ${elementText(field, packageName)}`;
    case "map":
      return `map<${ScalarType[field.mapKey].toLowerCase()}, ${elementText(field, packageName)}>`;
    default:
      return elementText(field, packageName);
  }
}

function elementText(field: DescField, packageName: string): string {
  const type = field.message ?? field.enum;
  if (type === undefined) return ScalarType[field.scalar as ScalarType].toLowerCase();
  const prefix = packageName === "" ? "" : `${packageName}.`;
  return type.typeName.startsWith(prefix) ? type.typeName.slice(prefix.length) : type.typeName;
}
