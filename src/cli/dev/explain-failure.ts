import { readFile } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { DescService } from "@bufbuild/protobuf";
import type { ContractRegistry, Workflow } from "../../contract/index.ts";
import { nearestName } from "../../nearest-name.ts";
import { display } from "../sources/compile.ts";
import type { Finding, Fix } from "../sources/finding.ts";
import { handlerLines } from "./handler-lines.ts";
import type { Project } from "./project.ts";
import type { WorkerFailure } from "./worker-process.ts";

/** Why handlers cannot be served: the line of the user's own code that it comes from, and what to write. */
export async function explainFailure(
  failure: WorkerFailure,
  project: Project,
  contracts: ContractRegistry,
): Promise<Finding> {
  const source = await readFile(project.handlers, "utf8").catch(() => "");
  const manifest = await readFile(join(project.directory, "package.json"), "utf8").catch(() => "");
  const place = placeIn(failure.stack, project.directory) ?? placeOfCause(failure, source, project);
  const [first = ""] = failure.message.replace(/^--handlers: /, "").split("\n    at ");
  return {
    severity: "error",
    rule: "handler",
    file: place.file,
    line: place.line,
    column: place.column,
    message: failure.name === "Error" || failure.name.endsWith("CliError") ? first : `${failure.name}: ${first}`,
    fixes: fixesFor(failure.message, project, contracts, manifest),
  };
}

/** What to write where there are no handlers at all. */
export function missingHandlers({ handlers, directory }: Project, contracts: ContractRegistry): Finding {
  return {
    severity: "error",
    rule: "handler",
    file: display(handlers),
    line: 0,
    column: 0,
    message: "there is no such file, and it is where the workflows are carried out",
    fixes: [{ where: "in this new file", lines: moduleLines(handlers, directory, contracts) }],
  };
}

interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** The first line of a stack that is in the project's own files. */
function placeIn(stack: string, directory: string): Place | undefined {
  for (const [, url = "", path = "", line, column] of stack.matchAll(
    /(?:(file:\/\/[^\s():]+(?::\/[^\s():]+)?)|(?<=[\s(])(\/[^\s():]+)):(\d+)(?::(\d+))?/g,
  )) {
    const file = url === "" ? path : asPath(url);
    const inside = relative(resolve(directory), file);
    if (file === "" || inside.startsWith("..") || inside.split(sep).includes("node_modules")) continue;
    return { file: display(file), line: Number(line), column: Number(column ?? 1) };
  }
  return undefined;
}

function asPath(url: string): string {
  try {
    return fileURLToPath(url);
  } catch {
    return "";
  }
}

/** Where the workflows are implemented, which is where something is missing, unless the configuration lacks it. */
function placeOfCause({ name, message }: WorkerFailure, source: string, { handlers, configFile }: Project): Place {
  if (/^cannot listen|data directory/.test(message)) return { file: "", line: 0, column: 0 };
  if (name === "ConfigError" || name === "ReflectionError" || /nothing signs that/.test(message)) {
    return { file: display(configFile), line: 0, column: 0 };
  }
  const lines = source.split("\n");
  const index = lines.findIndex((text) => /\.implement\(/.test(text));
  return {
    file: display(handlers),
    line: index + 1,
    column: index < 0 ? 0 : (lines[index] ?? "").indexOf(".implement(") + 2,
  };
}

function fixesFor(message: string, project: Project, contracts: ContractRegistry, manifest: string): Fix[] {
  const workflows = [...contracts.workflows.values()];
  if (message.startsWith("nothing carries out")) {
    const missing = workflows.filter(({ name }) => mentions(message, name));
    return [...Map.groupBy(missing, ({ service }) => service)].map(([service, group]) => ({
      where: `in ${display(project.handlers)}, within server.implement(${service.name}, { … })`,
      lines: group.flatMap(({ method }) => handlerLines(method)),
    }));
  }
  const [, service, wrong] = /^service (\S+) has no method (\S+)/.exec(message) ?? [];
  if (service !== undefined && wrong !== undefined) return misspelt(service, wrong, workflows);
  if (message.includes("exports no function to call")) {
    return [
      {
        where: `in ${display(project.handlers)}`,
        lines: moduleLines(project.handlers, project.directory, contracts),
      },
    ];
  }
  const missingPackage = /^Cannot find package '([^']+)'/.exec(message)?.[1];
  if (missingPackage !== undefined) {
    // What package.json names already has not been installed yet.
    const lines = [manifest.includes(`"${missingPackage}":`) ? "npm install" : `npm install ${missingPackage}`];
    return [{ where: "on the command line", lines }];
  }
  if (/_pb\.js/.test(message) && /Cannot find module|does not provide an export/.test(message)) {
    return [
      {
        where: "in its place, what the contracts give",
        lines: importLines(project.handlers, project.directory, contracts),
      },
    ];
  }
  if (/^cannot listen .* in use/.test(message)) {
    return [
      { where: "on the command line, to take ports that are free", lines: ["retake dev --grpc-port 0 --web-port 0"] },
    ];
  }
  if (/data directory .* is in use/.test(message)) {
    return [{ where: "on the command line, to keep runs elsewhere", lines: ["retake dev --data .retake-dev"] }];
  }
  return [];
}

function mentions(message: string, name: string): boolean {
  return message.split(/[\s,:]+/).includes(name);
}

function misspelt(service: string, wrong: string, workflows: readonly Workflow[]): Fix[] {
  const own = workflows.filter((workflow) => workflow.service.typeName === service);
  const meant = nearestName(
    wrong,
    own.map(({ method }) => method.localName),
  );
  const method = own.find((workflow) => workflow.method.localName === meant)?.method;
  return method === undefined
    ? [{ where: "its workflows are", lines: own.map(({ method: { localName } }) => localName) }]
    : [{ where: `meant perhaps, in place of ${wrong}`, lines: handlerLines(method).slice(0, 1) }];
}

function servicesOf({ workflows }: ContractRegistry): DescService[] {
  return [...new Set([...workflows.values()].map(({ service }) => service))];
}

function importLines(handlers: string, directory: string, contracts: ContractRegistry): string[] {
  const back = relative(dirname(resolve(handlers)), resolve(directory, "gen"))
    .split(sep)
    .join("/");
  const folder = back.startsWith(".") ? back : `./${back}`;
  return servicesOf(contracts).map(
    ({ name, file }) => `import { ${name} } from "${folder}/${file.proto.name.replace(/\.proto$/, "_pb.js")}";`,
  );
}

function moduleLines(handlers: string, directory: string, contracts: ContractRegistry): string[] {
  const typed = /\.[cm]?ts$/.test(handlers);
  const workflows = [...contracts.workflows.values()];
  return [
    ...(typed ? ['import type { RetakeServer } from "retake";'] : []),
    ...importLines(handlers, directory, contracts),
    "",
    `export default function register(${typed ? "server: RetakeServer): void" : "server)"} {`,
    ...servicesOf(contracts).flatMap((service) => [
      `  server.implement(${service.name}, {`,
      ...workflows
        .filter((workflow) => workflow.service === service)
        .flatMap(({ method }) => handlerLines(method).map((line) => `    ${line}`)),
      "  });",
    ]),
    "}",
  ];
}
