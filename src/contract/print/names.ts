import type { DescFile, Registry } from "@bufbuild/protobuf";
import type { DescriptorProto } from "@bufbuild/protobuf/wkt";
import { qualify } from "./context.ts";

/** Writes the name of a type or extension as short as the reader of a scope will still resolve it to that one. */
export type NamePrinter = (typeName: string, scope: string) => string;

/**
 * Creates the printer of names for one file. Protobuf resolves the *first* part of a name in the innermost scope that
 * knows it, and does not look further out when the rest is not there; so a short name is only used where no other
 * symbol, of any file that this one can see, stands in its way. The last resort is the leading dot.
 */
export function createNamePrinter(file: DescFile, registry: Registry | undefined): NamePrinter {
  const packageName = file.proto.package;
  const symbols = new Set<string>();
  for (const visible of visibleFiles(file, registry)) collectSymbols(visible, symbols);

  const resolves = (name: string, scope: string, target: string): boolean => {
    const first = name.split(".", 1)[0] ?? name;
    for (const outer of scopesOutwards(scope)) {
      if (symbols.has(qualify(outer, first))) return qualify(outer, name) === target;
    }
    return false;
  };

  return (typeName, scope) => {
    for (const outer of scopesOutwards(scope)) {
      // Relative within the package or not at all: `protobuf.Any` is legal in google.rpc, but nobody reads it so.
      const isPackageOrWithin = outer === "" || outer === packageName || outer.startsWith(`${packageName}.`);
      if (!isPackageOrWithin || (outer !== "" && !typeName.startsWith(`${outer}.`))) continue;
      const candidate = outer === "" ? typeName : typeName.slice(outer.length + 1);
      if (resolves(candidate, scope, typeName)) return candidate;
    }
    return `.${typeName}`;
  };
}

function* scopesOutwards(scope: string): Iterable<string> {
  for (let outer = scope; outer !== ""; outer = outer.slice(0, Math.max(0, outer.lastIndexOf(".")))) yield outer;
  yield "";
}

function visibleFiles(file: DescFile, registry: Registry | undefined): Set<DescFile> {
  const visible = new Set<DescFile>();
  const visit = (seen: DescFile): void => {
    if (visible.has(seen)) return;
    visible.add(seen);
    for (const dependency of seen.dependencies) visit(dependency);
  };
  visit(file);
  // What is imported for options only is no dependency of the descriptor; the registry may know it.
  const optionImports = new Set(file.proto.optionDependency);
  if (optionImports.size > 0) {
    for (const type of registry ?? []) if (optionImports.has(type.file.proto.name)) visit(type.file);
  }
  return visible;
}

function collectSymbols(file: DescFile, symbols: Set<string>): void {
  const { proto } = file;
  for (const scope of scopesOutwards(proto.package)) if (scope !== "") symbols.add(scope);
  const add = (scope: string, named: readonly { name: string }[]): void => {
    for (const { name } of named) symbols.add(qualify(scope, name));
  };
  const addMessage = (scope: string, message: DescriptorProto): void => {
    const inside = qualify(scope, message.name);
    symbols.add(inside);
    add(inside, message.field);
    add(inside, message.extension);
    add(inside, message.oneofDecl);
    for (const nested of message.enumType) addEnum(inside, nested);
    for (const nested of message.nestedType) addMessage(inside, nested);
  };
  // The values of an enum live beside it, not in it.
  const addEnum = (scope: string, type: { name: string; value: readonly { name: string }[] }): void => {
    symbols.add(qualify(scope, type.name));
    add(scope, type.value);
  };
  add(proto.package, proto.extension);
  for (const message of proto.messageType) addMessage(proto.package, message);
  for (const type of proto.enumType) addEnum(proto.package, type);
  for (const service of proto.service) {
    symbols.add(qualify(proto.package, service.name));
    add(qualify(proto.package, service.name), service.method);
  }
}
