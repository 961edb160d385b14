import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");

const forbidden = [
  "export const now = Date.now();",
  "export const now = Date.now;",
  "export const now = new Date();",
  "export const now = Date();",
  "export const now = performance.now();",
  "export const now = process.hrtime.bigint();",
  "export const timer = setTimeout(() => {}, 1);",
  "export const timer = setInterval(() => {}, 1);",
  "export const timer = setImmediate(() => {});",
  "export const timer = globalThis.setTimeout(() => {}, 1);",
  "export const signal = AbortSignal.timeout(1);",
  "export const random = Math.random();",
  "export const random = crypto.randomUUID();",
  'import { setTimeout } from "node:timers/promises";\nexport { setTimeout };',
  'import { randomBytes } from "node:crypto";\nexport { randomBytes };',
  'import * as crypto from "node:crypto";\nexport { crypto };',
  'import crypto from "node:crypto";\nexport { crypto };',
  'import { performance } from "node:perf_hooks";\nexport { performance };',
  'import { monitorEventLoopDelay } from "node:perf_hooks";\nexport { monitorEventLoopDelay };',
];

const allowed = [
  "export const date = new Date(5);",
  "export const largest = Math.max(1, 2);",
  'import { createHash } from "node:crypto";\nexport { createHash };',
  "export const soon = queueMicrotask;",
];

describe("the linter", () => {
  let complaints: Set<string>;

  beforeAll(async () => {
    const directory = await mkdtemp(join(tmpdir(), "retake-lint-"));
    afterAll(() => rm(directory, { recursive: true, force: true }));
    for (const file of ["biome.jsonc", "scripts/ports-only.grit"]) {
      await mkdir(dirname(join(directory, file)), { recursive: true });
      await copyFile(join(root, file), join(directory, file));
    }
    const plant = async (file: string, source: string): Promise<void> => {
      await mkdir(dirname(join(directory, file)), { recursive: true });
      await writeFile(join(directory, file), `${source}\n`);
    };
    for (const [index, source] of forbidden.entries()) await plant(`src/runs/forbidden-${index}.ts`, source);
    for (const [index, source] of allowed.entries()) await plant(`src/runs/allowed-${index}.ts`, source);
    await plant("src/clock.ts", forbidden.join("\n"));
    await plant("test/clock.test.ts", forbidden.slice(0, 1).join("\n"));
    complaints = await lint(directory);
  });

  it.each(forbidden.map((source, index) => ({ source, file: `src/runs/forbidden-${index}.ts` })))(
    "finds $source",
    ({ file }) => {
      expect(complaints).toContain(file);
    },
  );

  it.each(allowed.map((source, index) => ({ source, file: `src/runs/allowed-${index}.ts` })))(
    "lets $source pass",
    ({ file }) => {
      expect(complaints).not.toContain(file);
    },
  );

  it("lets the adapter of the ports and everything outside src/ pass", () => {
    expect(complaints).not.toContain("test/clock.test.ts");
    expect(complaints).not.toContain("src/clock.ts");
  });
});

/** The files that biome complains about by a rule about ports. */
async function lint(directory: string): Promise<Set<string>> {
  const args = ["lint", "--vcs-enabled=false", "--reporter=json", "--max-diagnostics=none"];
  const report = await promisify(execFile)(join(root, "node_modules", ".bin", "biome"), args, { cwd: directory }).then(
    ({ stdout }) => stdout,
    ({ stdout }: { stdout: string }) => stdout,
  );
  const { diagnostics } = JSON.parse(report) as {
    diagnostics: { category: string; location: { path: string } }[];
  };
  return new Set(
    diagnostics
      .filter(({ category }) => category === "plugin" || category.startsWith("lint/style/noRestricted"))
      .map(({ location }) => location.path),
  );
}
