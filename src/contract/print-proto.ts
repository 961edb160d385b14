import { createRegistry, type DescFile, type Registry } from "@bufbuild/protobuf";
import { Edition, FileOptionsSchema } from "@bufbuild/protobuf/wkt";
import { type PrintContext, usesEditions } from "./print/context.ts";
import { layOut, optionStatements, statement } from "./print/layout.ts";
import { stringLiteral } from "./print/literal.ts";
import { printMembers } from "./print/members.ts";
import { createNamePrinter } from "./print/names.ts";
import { createOptionPrinter } from "./print/options.ts";
import { printService } from "./print/service.ts";
import { createSourceIndex } from "./print/source.ts";

/**
 * Writes a file descriptor as the `.proto` source it could have come from: compiled again, it gives an equal
 * descriptor. Comments and the order of declarations are kept where the descriptor carries source info. Custom
 * options are resolved through the file's imports, then through `registry`; an option that neither knows cannot be
 * written and is named in a comment at its place.
 */
export function printProto(file: DescFile, registry?: Registry): string {
  const known =
    registry === undefined ? createRegistry(...withImports(file)) : createRegistry(...withImports(file), registry);
  const names = createNamePrinter(file, registry);
  const context: PrintContext = {
    edition: file.edition,
    names,
    options: createOptionPrinter(known, names),
    source: createSourceIndex(file.proto.sourceCodeInfo),
  };
  const { proto } = file;
  const { source } = context;
  const syntax = statement([`${syntaxOf(file)};`], source.comments([usesEditions(file) ? 14 : 12]));
  const packageName = proto.package === "" ? [] : statement([`package ${proto.package};`], source.comments([2]));
  const options = optionStatements(context.options(FileOptionsSchema, proto.options, proto.package), source, [8]);
  const members = printMembers(context, {
    scope: proto.package,
    extensions: { list: proto.extension, path: [7] },
    messages: { list: proto.messageType, path: [4] },
    enums: { list: proto.enumType, path: [5] },
  });
  const services = proto.service.map((service, index) => ({
    lines: printService(context, service, proto.package, [6, index]),
    position: source.position([6, index]),
  }));
  const sections = [syntax, packageName, imports(context, file), options, layOut([...members, ...services])];
  return `${sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")}\n`;
}

function syntaxOf({ edition }: DescFile): string {
  switch (edition) {
    case Edition.EDITION_PROTO2:
      return 'syntax = "proto2"';
    case Edition.EDITION_PROTO3:
      return 'syntax = "proto3"';
    default:
      return `edition = "${Edition[edition].replace("EDITION_", "")}"`;
  }
}

function imports({ source }: PrintContext, { proto }: DescFile): string[] {
  const modifier = (index: number): string => {
    if (proto.publicDependency.includes(index)) return "public ";
    return proto.weakDependency.includes(index) ? "weak " : "";
  };
  return [
    ...proto.dependency.flatMap((name, index) =>
      statement([`import ${modifier(index)}${stringLiteral(name)};`], source.comments([3, index])),
    ),
    ...proto.optionDependency.flatMap((name, index) =>
      statement([`import option ${stringLiteral(name)};`], source.comments([15, index])),
    ),
  ];
}

function withImports(file: DescFile, found = new Set<DescFile>()): Set<DescFile> {
  if (found.has(file)) return found;
  found.add(file);
  for (const dependency of file.dependencies) withImports(dependency, found);
  return found;
}
