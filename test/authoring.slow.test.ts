import { execFile } from "node:child_process";
import { readdir, readFile, realpath, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { connectRetake } from "../src/client/index.ts";
import { DevProcess } from "./cli/dev/dev-process.ts";
import { directoryWith } from "./cli/projects.ts";
import { findTool } from "./tools.ts";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..");

interface Serving {
  readonly grpc: { readonly port: number };
  readonly workflows: readonly { readonly workflow: string; readonly curl: string; readonly grpcurl: string }[];
}

/** What a shell of a new user finds: not this repository's programs. */
const env = {
  ...process.env,
  PATH: (process.env["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => !folder.startsWith(root))
    .join(delimiter),
};

describe("a new user, with the packed package and npm alone", () => {
  it("has a project that is tested, served, called, changed and served again with its runs", async () => {
    const directory = await realpath(await directoryWith());
    // The package is packed by this repository's Node, as it is built.
    await run("npm", ["pack", "--loglevel=error", "--pack-destination", directory], { cwd: root });
    const [tarball = ""] = (await readdir(directory)).filter((file) => file.endsWith(".tgz"));
    const { stdout } = await run("npx", ["--yes", "--package", join(directory, tarball), "retake", "init", "mine"], {
      cwd: directory,
      env,
    });
    expect(stdout).toContain("npm install");
    const project = join(directory, "mine");
    await run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: project, env });
    expect((await run("npm", ["test"], { cwd: project, env })).stdout).toMatch(/pass 2[\s\S]*fail 0/);
    await run("npm", ["run", "check"], { cwd: project, env });
    expect((await run("npm", ["run", "lint"], { cwd: project, env })).stderr).toContain("Nothing to mend.");

    const dev = new DevProcess(["npm", "run", "--silent", "dev", "--"], project);
    const first = (await dev.next("serving")) as unknown as Serving;
    const [draw] = first.workflows;
    expect(draw?.workflow).toBe("mine.v1.MineService/Draw");
    const started = JSON.parse((await run("sh", ["-c", `${draw?.curl} --silent`])).stdout) as {
      run: { runId: string };
    };
    await dev.next("run", (line) => JSON.stringify(line).includes('"succeeded"'));

    const client = connectRetake({ target: `127.0.0.1:${first.grpc.port}` });
    try {
      // A unary workflow more: the contract alone is not enough, and what is missing is told.
      const contract = join(project, "proto/mine/v1/mine_service.proto");
      const method =
        "rpc Count(DrawRequest) returns (Sketch) {\n    option (retake.v1.workflow) = {timeout: {seconds: 9}};\n  }\n";
      await writeFile(
        contract,
        (await readFile(contract, "utf8")).replace("service MineService {", (found) => `${found}\n  ${method}`),
      );
      const broken = await dev.next("broken");
      expect(broken["serving"]).toBe(true);
      const [{ fixes } = { fixes: [] }] = broken["findings"] as { fixes: { lines: string[] }[] }[];
      const handlers = join(project, "handlers.ts");
      const lines = fixes[0]?.lines.join("\n").replace('lines: ""', "lines: `for $" + "{request.title}`") ?? "";
      expect(lines).toContain("async count(request, context) {");
      await writeFile(
        handlers,
        (await readFile(handlers, "utf8")).replace("MineService, {", (found) => `${found}\n${lines}`),
      );
      const second = (await dev.next("serving")) as unknown as Serving;
      const count = second.workflows.find(({ workflow }) => workflow.endsWith("/Count"));
      const answer = JSON.parse((await run("sh", ["-c", `${count?.curl} --silent`])).stdout) as { lines: string };
      expect(answer.lines).toBe("for a title");

      const grpcurl = findTool("grpcurl");
      if (grpcurl.kind === "found") {
        expect((await run("sh", ["-c", count?.grpcurl ?? ""])).stdout).toContain("for a title");
      }

      // The run of before is there, on the same port.
      expect(second.grpc.port).toBe(first.grpc.port);
      const { runs } = await client.runs.listRuns({});
      expect(runs.map(({ runId }) => runId)).toContain(started.run.runId);
      expect(runs.filter(({ workflow }) => workflow.endsWith("/Draw"))).toHaveLength(1);
      const told = await run("npm", ["run", "--silent", "client", "--", "By hand"], {
        cwd: project,
        env: { ...env, RETAKE_TARGET: `127.0.0.1:${first.grpc.port}` },
      });
      expect(told.stdout).toContain("By hand</text></svg>");
    } finally {
      client.close();
    }
  });
});
