import { type DescField, ScalarType } from "@bufbuild/protobuf";

/** The type of a field as a file in some package would write it, or any file without one. */
export function typeText(field: DescField, packageName = ""): string {
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
