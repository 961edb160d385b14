import { type EnumDescriptorProto, EnumOptionsSchema, EnumValueOptionsSchema } from "@bufbuild/protobuf/wkt";
import { type Path, type PrintContext, qualify } from "./context.ts";
import { braced, layOut, optionStatements, statement, withGap, withOptions } from "./layout.ts";
import { printReserved } from "./ranges.ts";
import { visibility } from "./visibility.ts";

/** Prints an enum. */
export function printEnum(context: PrintContext, type: EnumDescriptorProto, scope: string, path: Path): string[] {
  const { source, options } = context;
  const inside = qualify(scope, type.name);
  const values = type.value.map((value, index) => {
    const valuePath = [...path, 2, index];
    const line = `${value.name} = ${value.number}`;
    const printed = withOptions(line, options(EnumValueOptionsSchema, value.options, inside));
    return { lines: statement(printed, source.comments(valuePath)), position: source.position(valuePath) };
  });
  const body = withGap(
    optionStatements(options(EnumOptionsSchema, type.options, inside), source, [...path, 3]),
    layOut([...printReserved(context, type, [...path, 4], [...path, 5]), ...values]),
  );
  return braced(`${visibility(type.visibility)}enum ${type.name}`, body, source.comments(path));
}
