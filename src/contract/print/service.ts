import {
  type MethodDescriptorProto,
  MethodOptionsSchema,
  type ServiceDescriptorProto,
  ServiceOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { type Path, type PrintContext, qualify } from "./context.ts";
import { braced, layOut, optionStatements, statement, withGap } from "./layout.ts";

/** Prints a service. */
export function printService(
  context: PrintContext,
  service: ServiceDescriptorProto,
  scope: string,
  path: Path,
): string[] {
  const inside = qualify(scope, service.name);
  const methods = service.method.map((method, index) => {
    const methodPath = [...path, 2, index];
    return { lines: printMethod(context, method, inside, methodPath), position: context.source.position(methodPath) };
  });
  const options = optionStatements(context.options(ServiceOptionsSchema, service.options, inside), context.source, [
    ...path,
    3,
  ]);
  return braced(`service ${service.name}`, withGap(options, layOut(methods)), context.source.comments(path));
}

function printMethod(context: PrintContext, method: MethodDescriptorProto, scope: string, path: Path): string[] {
  const type = (streaming: boolean, name: string): string =>
    `(${streaming ? "stream " : ""}${context.names(name.replace(/^\./, ""), scope)})`;
  const line = `rpc ${method.name}${type(method.clientStreaming, method.inputType)} returns ${type(method.serverStreaming, method.outputType)}`;
  const comments = context.source.comments(path);
  const options = optionStatements(context.options(MethodOptionsSchema, method.options, scope), context.source, [
    ...path,
    4,
  ]);
  return options.length === 0 ? statement([`${line};`], comments) : braced(line, options, comments);
}
