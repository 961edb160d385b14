import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { explainFailure, missingHandlers } from "../../../src/cli/dev/explain-failure.ts";
import type { Project } from "../../../src/cli/dev/project.ts";
import { createContractRegistry } from "../../../src/contract/index.ts";
import { WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";
import { directoryWith } from "../projects.ts";

const contracts = createContractRegistry({ services: [WorkflowsService] });

async function project(source = ""): Promise<Project> {
  const directory = await directoryWith({ "handlers.ts": source });
  return {
    directory,
    handlers: join(directory, "handlers.ts"),
    modules: ["proto"],
    configFile: join(directory, "retake.yaml"),
  };
}

const failure = (message: string, stack = message, name = "TypeError") => ({ name, message, stack });

describe("explainFailure", () => {
  it("points at the first line of the stack that is the user's own", async () => {
    const own = await project();
    const at = (path: string, line: number) => `    at f (${pathToFileURL(join(own.directory, path)).href}:${line}:7)`;
    const stack = [
      "TypeError: x is not a function",
      "    at node:internal/x:1:1",
      at("node_modules/y/z.js", 3),
      at("a.ts", 12),
    ];
    const { file, line, column, message } = await explainFailure(
      failure("x is not a function", stack.join("\n")),
      own,
      contracts,
    );
    expect({ file, line, column }).toEqual({ file: join(own.directory, "a.ts"), line: 12, column: 7 });
    expect(message).toBe("TypeError: x is not a function");
  });

  it("shows where handlers are missing, and those that are", async () => {
    const own = await project("export default (server) =>\n  server.implement(WorkflowsService, {});");
    const missing =
      "nothing carries out retake.test.v1.WorkflowsService/Plain, retake.test.v1.WorkflowsService/Streaming: implement";
    const { line, fixes } = await explainFailure(failure(missing), own, contracts);
    expect(line).toBe(2);
    expect(fixes).toHaveLength(1);
    expect(fixes[0]?.where).toContain("server.implement(WorkflowsService");
    expect(fixes[0]?.lines.filter((text) => /^async/.test(text))).toEqual([
      "async plain(request, context) {",
      "async *streaming(request, context) {",
    ]);
  });

  it.each([
    ["service retake.test.v1.WorkflowsService has no method plian", "async plain(request, context) {"],
    ["Cannot find package 'left-pad' imported from /x/handlers.ts", "npm install left-pad"],
    [
      "Cannot find module '/x/gen/old_pb.js' imported from /x",
      'import { WorkflowsService } from "./gen/retake/test/v1/workflows_pb.js";',
    ],
    [
      "--handlers: ./handlers.ts exports no function to call: x",
      "export default function register(server: RetakeServer): void {",
    ],
    ["cannot listen on 127.0.0.1:1: the port is in use: stop", "retake dev --grpc-port 0 --web-port 0"],
    ["the data directory /x is in use by process 1: stop", "retake dev --data .retake-dev"],
  ])("says what to write about: %s", async (message, line) => {
    const { fixes } = await explainFailure(failure(message), await project(), contracts);
    expect(fixes.flatMap(({ lines }) => lines)).toContain(line);
  });

  it.each([
    ["ConfigError", "configuration: webhooks.secrets[0]: the environment has no SECRET"],
    ["ReflectionError", "the back-end dns:///gpu:50061 cannot be reached"],
    ["TypeError", "the ends of a.B/C are told to others (notify), and nothing signs that: make a secret"],
  ])("points at the configuration for what it lacks: %s", async (name, message) => {
    const own = await project("export default (server) => server.implement(WorkflowsService, {});");
    const { file, line } = await explainFailure(failure(message, message, name), own, contracts);
    expect({ file, line }).toEqual({ file: own.configFile, line: 0 });
  });

  it("asks for what package.json names to be installed", async () => {
    const own = await project();
    await writeFile(join(own.directory, "package.json"), '{ "dependencies": { "retake": "^1.0.0" } }');
    const { fixes } = await explainFailure(failure("Cannot find package 'retake' imported from /x"), own, contracts);
    expect(fixes.flatMap(({ lines }) => lines)).toEqual(["npm install"]);
  });

  it("gives a whole module where there is none", async () => {
    const { fixes } = missingHandlers(await project(), contracts);
    expect(fixes[0]?.lines.slice(0, 2)).toEqual([
      'import type { RetakeServer } from "retake";',
      'import { WorkflowsService } from "./gen/retake/test/v1/workflows_pb.js";',
    ]);
    expect(fixes[0]?.lines).toContain("    async plain(request, context) {");
  });
});
