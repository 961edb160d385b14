import type { DescField, DescMessage, DescMethod, FileRegistry } from "@bufbuild/protobuf";
import type { ContractProblem, Placed } from "../../contract/index.ts";
import type { CompiledContracts } from "../sources/compile.ts";
import type { Finding, Fix } from "../sources/finding.ts";
import { findingAt, importing, isUpdate, shortName, sourceLine } from "./linted.ts";
import { freeNumber } from "./proto-lines.ts";

/** What keeps contracts from being served, each at its place, with the lines that mend it where they can be told. */
export function contractFindings(problems: readonly ContractProblem[], contracts: CompiledContracts): Finding[] {
  return problems.map(({ where, message }) => {
    const about = { severity: "error", rule: "contract" } as const;
    const element = elementOf(where, message, contracts.registry);
    if (element === undefined) {
      return { ...about, file: "", line: 0, column: 0, message: `${where}: ${message}`, fixes: [] };
    }
    return findingAt(element, contracts, {
      ...about,
      message: `${nameOf(where)}: ${message}`,
      fixes: fixesFor(element, where, message, contracts),
    });
  });
}

/** The package is known to whoever reads his own file. */
function nameOf(where: string): string {
  return where.includes("/") ? where.slice(where.indexOf("/") + 1) : where.slice(where.lastIndexOf(".") + 1);
}

/** The field that a message speaks of, else what it is reported for. */
function elementOf(where: string, message: string, registry: FileRegistry): Placed | undefined {
  const [, fieldName] = /^field (\S+) /.exec(message) ?? [];
  return (
    (fieldName === undefined ? undefined : fieldOf(fieldName, registry)) ??
    methodOf(where, registry) ??
    registry.getService(where) ??
    registry.getMessage(where) ??
    fieldOf(where, registry)
  );
}

function methodOf(name: string, registry: FileRegistry): DescMethod | undefined {
  const [service = "", method] = name.split("/");
  return registry.getService(service)?.methods.find((each) => each.name === method);
}

function fieldOf(name: string, registry: FileRegistry): DescField | undefined {
  const dot = name.lastIndexOf(".");
  return registry.getMessage(name.slice(0, dot))?.fields.find((field) => field.name === name.slice(dot + 1));
}

function fixesFor(element: Placed, where: string, message: string, contracts: CompiledContracts): Fix[] {
  const method = element.kind === "rpc" ? element : methodOf(where, contracts.registry);
  if (element.kind === "service" && message.startsWith("has no workflow")) {
    const [first] = element.methods;
    return first === undefined
      ? [{ where: `in service ${element.name}`, lines: workflowLines("Do", "DoRequest", "DoResponse") }]
      : [
          {
            where: `in place of the line of each method that is to be a workflow, like ${first.name}`,
            lines: workflowLines(first.name, shortName(first.input), answerOf(first)),
          },
          ...importing("retake/v1/options.proto", element.file),
        ];
  }
  if (method !== undefined && message.startsWith("streams messages of which each")) {
    return [
      { where: `in message ${shortName(method.output)}`, lines: [progressLine(method.output)] },
      ...importing("retake/v1/run.proto", method.output.file),
    ];
  }
  if (method !== undefined && message.startsWith("has no possible result")) {
    const [group] = method.output.oneofs;
    const place = group === undefined ? "" : `, in oneof ${group.name}`;
    return [
      {
        where: `in message ${shortName(method.output)}${place}`,
        lines: [`${method.name}Result result = ${freeNumber(method.output)};`],
      },
      { where: "at the end of the file", lines: [`message ${method.name}Result {`, "}"] },
    ];
  }
  if (method !== undefined && message.startsWith("has several possible results")) {
    return method.output.fields
      .filter((field) => !isUpdate(field))
      .map((field) => ({
        where: `if ${field.name} is sent while the run works, in place of its line`,
        lines: [withOption(field, "(retake.v1.update) = {}", contracts)],
      }));
  }
  if (method !== undefined && message.startsWith("streams its requests")) {
    return [
      {
        where: "in place of its first line",
        lines: [`rpc ${method.name}(${shortName(method.input)}) returns (${answerOf(method)}) {`],
      },
    ];
  }
  if (element.kind === "field" && message.includes("is an update without presence")) {
    return [{ where: "in place of its line", lines: [`optional ${sourceLine(element, contracts)}`] }];
  }
  if (element.kind === "field" && /idempotency key and is (not a string|repeated)/.test(message)) {
    const line = `string ${element.name} = ${element.number} [(retake.v1.idempotency_key) = true];`;
    return [{ where: "in place of its line", lines: [line] }];
  }
  const meant = /fallbacks\[\d+\]: .*Did you mean "([^"]+)"/.exec(message)?.[1];
  if (meant !== undefined) return [{ where: "in its option (retake.v1.workflow)", lines: [`fallbacks: ["${meant}"]`] }];
  return [];
}

function workflowLines(name: string, input: string, output: string): string[] {
  return [`rpc ${name}(${input}) returns (${output}) {`, "  option (retake.v1.workflow) = {};", "}"];
}

function answerOf({ methodKind, output }: DescMethod): string {
  return `${methodKind === "server_streaming" || methodKind === "bidi_streaming" ? "stream " : ""}${shortName(output)}`;
}

function progressLine(output: DescMessage): string {
  const name = output.fields.some((field) => field.name === "progress") ? "run_progress" : "progress";
  return `retake.v1.Progress ${name} = ${freeNumber(output)};`;
}

/** The field's line with one more option. */
function withOption(field: DescField, option: string, contracts: CompiledContracts): string {
  const line = sourceLine(field, contracts);
  const [, head, options] = /^([^[]*=\s*\d+)\s*(?:\[(.*)\])?\s*;/.exec(line) ?? [];
  if (head === undefined) return option;
  return `${head} [${options === undefined ? "" : `${options.trim()}, `}${option}];`;
}
