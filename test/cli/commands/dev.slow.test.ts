import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Finding } from "../../../src/cli/sources/finding.ts";
import { connectRetake } from "../../../src/client/index.ts";
import { type DevLine, DevProcess } from "../dev/dev-process.ts";
import { retake } from "../harness.ts";
import { directoryWith, installInto } from "../projects.ts";

const main = join(import.meta.dirname, "../../../src/cli/main.ts");
const command = [process.execPath, "--conditions=retake-source", main, "dev"] as const;

async function newProject(): Promise<string> {
  const directory = await directoryWith();
  expect((await retake(["init", directory, "--package", "studio.v1"])).exitCode).toBe(0);
  await installInto(directory);
  return directory;
}

/** Changes a file, and answers how to take that back. */
async function edit(file: string, what: string | RegExp, by: string): Promise<() => Promise<void>> {
  const before = await readFile(file, "utf8");
  const after = before.replace(what, () => by);
  expect(after).not.toBe(before);
  await writeFile(file, after);
  return () => writeFile(file, before);
}

function findingsOf(line: DevLine): Finding[] {
  return line["findings"] as Finding[];
}

const handlers = "handlers.ts";
const contract = "proto/studio/v1/studio_service.proto";

describe("retake dev, with a mistake in what it serves", () => {
  it("tells each with its place and the lines to write, goes on serving, and serves what is mended", async () => {
    const directory = await newProject();
    const dev = new DevProcess(command, directory);
    const { grpc } = (await dev.next("serving")) as unknown as { grpc: { port: number } };
    const client = connectRetake({ target: `127.0.0.1:${grpc.port}`, retryForMs: 0 });
    try {
      const mistakes: readonly (readonly [
        what: string,
        file: string,
        from: string | RegExp,
        to: string,
        line: string | undefined,
        place?: RegExp,
      ])[] = [
        ["an import is gone", contract, 'import "retake/v1/run.proto";\n', "", 'import "retake/v1/run.proto";'],
        ["a type is misspelt", contract, "string svg", "strng svg", "string svg = 1;"],
        ["a policy is out of range", contract, "max_attempts: 3", "max_attempts: 300", undefined],
        [
          "the option is gone",
          contract,
          /option \(retake\.v1\.workflow\)[\s\S]*?\n {4}\};/,
          "",
          "  option (retake.v1.workflow) = {};",
        ],
        [
          "the contract has a workflow more",
          contract,
          "service StudioService {",
          "service StudioService {\n  rpc Count(DrawRequest) returns (Sketch) {\n    option (retake.v1.workflow) = {};\n  }",
          "async count(request, context) {",
        ],
        [
          "a field of the request is misspelt",
          handlers,
          "request.title",
          "request.titel",
          /title/.source,
          /handlers\.ts/,
        ],
        [
          "the syntax is wrong",
          handlers,
          "async *draw(request, context) {",
          "async *draw(request, context {",
          undefined,
          /handlers\.ts/,
        ],
        ["the handler is misspelt", handlers, "async *draw(", "async *drow(", undefined, /handlers\.ts/],
        [
          "it throws when it is loaded",
          handlers,
          "/** Carries",
          'if (Date.now() > 0) throw new Error("no model here");\n/** Carries',
          undefined,
          /handlers\.ts/,
        ],
        [
          "nothing is exported",
          handlers,
          "export default function register",
          "export function other",
          "export default function register(server: RetakeServer): void {",
        ],
        [
          "a package is missing",
          handlers,
          "import { type",
          '// @ts-ignore\nimport "left-pad";\nimport { type',
          "npm install left-pad",
        ],
        [
          "generated code is misnamed",
          handlers,
          "studio_service_pb.js",
          "studios_service_pb.js",
          undefined,
          /handlers\.ts/,
        ],
      ];
      for (const [what, file, from, to, line, place] of mistakes) {
        const undo = await edit(join(directory, file), from, to);
        const broken = await dev.next("broken");
        expect(broken["serving"], what).toBe(true);
        const findings = findingsOf(broken);
        expect(findings.length, what).toBeGreaterThan(0);
        expect(findings[0]?.file, what).toMatch(place ?? /studio_service\.proto|handlers\.ts/);
        expect(findings[0]?.line, what).toBeGreaterThan(0);
        if (line !== undefined)
          expect(findings.flatMap(({ fixes }) => fixes.flatMap(({ lines }) => lines)).join("\n"), what).toContain(line);
        expect((await client.runs.listWorkflows({})).workflows, what).toHaveLength(1);
        await undo();
        await dev.next("serving");
      }
    } finally {
      client.close();
    }
  });

  it("begins once what was broken from the start is mended, and tells what a missing file needs", async () => {
    const directory = await newProject();
    await rename(join(directory, handlers), join(directory, "kept.txt"));
    const dev = new DevProcess(command, directory);
    const broken = await dev.next("broken");
    expect(broken["serving"]).toBe(false);
    const [finding] = findingsOf(broken);
    // What it says is a module that works.
    await writeFile(join(directory, handlers), finding?.fixes[0]?.lines.join("\n") ?? "");
    await dev.next("serving");
    await writeFile(join(directory, "retake.yaml"), "grcp: { port: 1 }");
    expect(findingsOf(await dev.next("broken"))[0]).toMatchObject({
      line: 1,
      message: expect.stringContaining('"grpc"'),
    });
    await rm(join(directory, "retake.yaml"));
    await dev.next("serving");
    expect(await dev.stop()).toBe(0);
  });

  it("says what to do about a port, or data, that another server has", async () => {
    const directory = await newProject();
    const other = createTcpServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const { port } = other.address() as { port: number };
    try {
      const dev = new DevProcess(command, directory, ["--grpc-port", String(port)]);
      const [finding] = findingsOf(await dev.next("broken"));
      expect(finding?.message).toContain(`127.0.0.1:${port}: the port is in use`);
      expect(finding?.fixes[0]?.lines).toEqual(["retake dev --grpc-port 0 --web-port 0"]);
    } finally {
      other.close();
    }
    await new DevProcess(command, directory).next("serving");
    const second = new DevProcess(command, directory);
    const [finding] = findingsOf(await second.next("broken"));
    expect(finding?.message).toContain("is in use by process");
    expect(finding?.fixes[0]?.lines).toEqual(["retake dev --data .retake-dev"]);
  });
});
