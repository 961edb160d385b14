import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Plugin, rolldown } from "rolldown";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lazyRules } from "../../scripts/lazy-rules.ts";

const root = join(import.meta.dirname, "../..");
const parsed = "globalThis.parsed = (globalThis.parsed ?? 0) + 1;";

/** Counts the expressions that are compiled. */
const counted: Plugin = {
  name: "counted",
  transform: {
    filter: { id: /protovalidate[\\/]dist[\\/]esm[\\/]cel\.js$/ },
    handler: (code) => ({
      code: code.replace(/compile(Rule|Now)\(ruleOrExpr\) {(?! return {)/, (start) => `${start} ${parsed}`),
      map: null,
    }),
  },
};

/** Validates what is right and what is wrong, as protovalidate does it by itself and by CEL alone. */
const script = (file: string) => `
  import { create } from "@bufbuild/protobuf";
  import { ServerConfigSchema } from "${root}/gen/retake/v1/config_pb.js";
  import { WorkflowPolicySchema } from "${root}/gen/retake/v1/options_pb.js";
  import { createValidator } from ${JSON.stringify(file)};

  const told = [];
  for (const disableNativeRules of [false, true]) {
    const validator = createValidator({ disableNativeRules });
    for (const [schema, message] of [
      [ServerConfigSchema, {}],
      [ServerConfigSchema, {
        grpc: { port: 70_000, host: "not a host", limits: { maxMessageBytes: 1 } },
        web: { port: 70_001 },
        contracts: ["", "a", "a"],
        drainTimeout: { seconds: -1n },
        backends: [{ service: "no service!", endpoints: [{ target: "", slots: -1 }, { target: "x" }] }],
        workflows: { "no name": { timeout: { seconds: -5n } } },
      }],
      [WorkflowPolicySchema, {
        timeout: { seconds: -1n },
        retry: { maxAttempts: -1, backoffMultiplier: 0.5, retryableStatusCodes: ["NO", "NO"] },
        circuitBreaker: { errorThresholdPercentage: 101 },
        fallbacks: ["x", "x"],
      }],
    ]) {
      const { kind, violations = [] } = validator.validate(schema, create(schema, message));
      told.push([kind, violations.map((violation) => violation.toString() + violation.ruleId)]);
    }
  }
  console.log(JSON.stringify({ told, parsed: globalThis.parsed }));
`;

describe("lazyRules", () => {
  let directory: string;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "retake-rules-"));
    symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  async function tellWith(name: string, plugins: readonly Plugin[]) {
    const build = await rolldown({
      input: join(root, "node_modules/@bufbuild/protovalidate/dist/esm/index.js"),
      external: /^@bufbuild\/protobuf/,
      plugins: [...plugins],
    });
    const file = join(directory, name);
    await build.write({ file, format: "esm" });
    await build.close();
    writeFileSync(join(directory, `use-${name}`), script(file));
    const { stdout, stderr } = spawnSync(process.execPath, [join(directory, `use-${name}`)], { encoding: "utf8" });
    expect(stderr).toBe("");
    return JSON.parse(stdout) as { told: [string, string[]][]; parsed: number };
  }

  it("finds what protovalidate finds, with a fraction of the expressions compiled", async () => {
    const plain = await tellWith("plain.mjs", [counted]);
    const lazy = await tellWith("lazy.mjs", [lazyRules(), counted]);
    expect(lazy.told).toEqual(plain.told);
    expect(plain.told.map(([kind, violations]) => [kind, violations.length > 3])).toEqual([
      ["valid", false],
      ["invalid", true],
      ["invalid", true],
      ["valid", false],
      ["invalid", true],
      ["invalid", true],
    ]);
    expect(lazy.parsed).toBeLessThan(plain.parsed / 4);
  });
});
