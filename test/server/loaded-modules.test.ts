import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { temporaryDirectory } from "../runs/sqlite/temporary-directory.ts";

const index = join(import.meta.dirname, "../../src/index.ts");

/** Names the packages that are loaded from then on, and modules of our own by their URL. */
const recorded = `
  import { registerHooks } from "node:module";
  const loaded = new Set();
  registerHooks({
    load(url, context, next) {
      loaded.add(url.match(/.*node_modules\\/((?:@[^/]+\\/)?[^/]+)/)?.[1] ?? url);
      return next(url, context);
    },
  });
`;

/** What a script writes that has nothing to complain about. */
function run(script: string): string {
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  return stdout;
}

/** The packages that a process loads until its server listens. */
function packagesOf(web: object): readonly string[] {
  const config = { dataDirectory: temporaryDirectory(), grpc: { port: 0 }, log: { level: "silent" }, web };
  const loaded = run(`
    ${recorded}
    const { createServer } = await import(${JSON.stringify(index)});
    const server = createServer(${JSON.stringify(config)});
    await server.listen();
    console.log(JSON.stringify([...loaded]));
    await server.close();
  `);
  return JSON.parse(loaded) as string[];
}

describe("a server that starts", () => {
  it("loads what the web port needs only where there is one, and no YAML without a file", () => {
    const without = packagesOf({ disabled: true });
    expect(without).toContain("@grpc/grpc-js");
    for (const name of ["fastify", "@connectrpc/connect-node", "yaml", "modern-tar", "@opentelemetry/sdk-metrics"]) {
      expect(without).not.toContain(name);
    }
    expect(packagesOf({ port: 0 })).toContain("fastify");
  });
});

describe("the journal's thread", () => {
  it("loads no package", () => {
    const worker = join(import.meta.dirname, "../../src/runs/sqlite/thread/worker.ts");
    const script = `
      ${recorded}
      await import(${JSON.stringify(worker)});
      console.log(JSON.stringify([...loaded]));
    `;
    const loaded = JSON.parse(run(script)) as string[];
    expect(loaded).toContain(pathToFileURL(worker).href);
    expect(loaded.filter((name) => !/^(file|node):/.test(name))).toEqual([]);
    expect(loaded.filter((name) => name.includes("/gen/"))).toEqual([]);
  });
});
