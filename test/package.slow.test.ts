import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AccessLevel } from "../gen/retake/v1/options_pb.js";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..");

interface Manifest {
  readonly bin: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

describe("the package, installed with nothing but its dependencies", () => {
  let project: string;
  let installed: string;
  let manifest: Manifest;

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), "retake-package-"));
    installed = join(project, "node_modules", "retake");
    await mkdir(installed, { recursive: true });
    await run("npm", ["pack", "--loglevel=error", "--pack-destination", project], { cwd: root });
    const [tarball = ""] = (await readdir(project)).filter((file) => file.endsWith(".tgz"));
    await run("tar", ["-xzf", join(project, tarball), "--strip-components=1", "-C", installed]);
    manifest = JSON.parse(await readFile(join(installed, "package.json"), "utf8")) as Manifest;
    for (const name of Object.keys(manifest.dependencies)) {
      const link = join(project, "node_modules", name);
      await mkdir(dirname(link), { recursive: true });
      await symlink(join(root, "node_modules", name), link);
    }
    await writeFile(join(project, "package.json"), '{ "type": "module" }');
  });

  afterAll(() => rm(project, { recursive: true, force: true }));

  const entries = () =>
    Object.entries(manifest.exports)
      .filter(([, target]) => typeof target !== "string")
      .map(([subpath]) => `retake${subpath.slice(1)}`);

  it("loads every entry point", async () => {
    expect(entries()).toContain("retake/client");
    const script = entries()
      .map((entry) => `await import("${entry}");`)
      .join("\n");
    await run(process.execPath, ["--input-type=module", "--eval", script], { cwd: project });
  });

  it("brings types for every entry point, strictly checked", async () => {
    const uses = entries().map((entry, index) => `import * as entry${index} from "${entry}"; void entry${index};`);
    const generated = 'import { RunSchema } from "retake/gen/retake/v1/run_pb.js"; void RunSchema;';
    await writeFile(join(project, "use.ts"), [...uses, generated].join("\n"));
    const options = ["--strict", "--noEmit", "--skipLibCheck", "--module", "nodenext", "--target", "es2024"];
    await run(join(root, "node_modules", ".bin", "tsc"), [...options, "use.ts"], { cwd: project });
  });

  it("serves, journals and calls, and its entry points know each other's errors", async () => {
    const script = `
      import { ConfigError, createServer } from "retake";
      import { connectRetake } from "retake/client";
      import { createTestServer } from "retake/testing";

      const refused = await Promise.try(createTestServer, { config: { grpc: { port: 70_000 } } }).catch((error) => error);
      const server = createServer({
        dataDirectory: ${JSON.stringify(join(project, "data"))},
        grpc: { port: 0 },
        web: { port: 0 },
        log: { level: "error" },
        security: { anonymousLevel: ${AccessLevel.ADMIN} },
      });
      await server.listen();
      const client = connectRetake({ target: \`localhost:\${server.grpc.port}\` });
      const runs = await Array.fromAsync(client.list());
      await client.close();
      await server.close();
      console.log(JSON.stringify([refused instanceof ConfigError, refused.message, runs.length]));
    `;
    const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script], { cwd: project });
    expect(JSON.parse(stdout)).toEqual([true, expect.stringContaining("grpc.port"), 0]);
  });

  it("starts its program", async () => {
    const { stdout } = await run(process.execPath, [join(installed, manifest.bin["retake"] ?? ""), "--help"]);
    expect(stdout).toContain("retake");
  });
});
