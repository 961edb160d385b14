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

/** The packages that a process has loaded once each of these servers listens, one after the other. */
function packagesOf(...webs: readonly object[]): readonly (readonly string[])[] {
  const configs = webs.map((web) => {
    return { dataDirectory: temporaryDirectory(), grpc: { port: 0 }, log: { level: "silent" }, web };
  });
  const loaded = run(`
    ${recorded}
    const { createServer } = await import(${JSON.stringify(index)});
    const seen = [];
    for (const config of ${JSON.stringify(configs)}) {
      const server = createServer(config);
      await server.listen();
      seen.push([...loaded]);
      await server.close();
    }
    console.log(JSON.stringify(seen));
  `);
  return JSON.parse(loaded) as string[][];
}

/** Processes are started here, which takes some seconds each where a machine has much else to do. */
const limitMs = 120_000;

describe("a server that starts", () => {
  it("loads what the web port needs only where there is one, and no YAML without a file", { timeout: limitMs }, () => {
    const [without = [], withWeb = []] = packagesOf({ disabled: true }, { port: 0 });
    expect(without).toContain("@grpc/grpc-js");
    for (const name of ["fastify", "@connectrpc/connect-node", "yaml", "modern-tar", "@opentelemetry/sdk-metrics"]) {
      expect(without).not.toContain(name);
    }
    expect(withWeb).toContain("fastify");
  });
});

describe("the journal's thread", () => {
  it("loads no package", { timeout: limitMs }, () => {
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
