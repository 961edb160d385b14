import { rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { fingerprint } from "../../../src/cli/dev/fingerprint.ts";
import { importedFiles } from "../../../src/cli/dev/imported-files.ts";
import { directoryWith } from "../projects.ts";

describe("importedFiles", () => {
  it("follows relative imports, and leaves out packages and generated code", async () => {
    const directory = await directoryWith({
      "handlers.ts": `import { a } from "./a.ts";\nimport "./side.js";\nimport { x } from "retake";\nimport { P } from "./gen/p_pb.js";`,
      "a.ts": `export * from "./deep/b.ts";\nimport style from "./data.json" with { type: "json" };\nimport "./gone.ts";`,
      "deep/b.ts": `import { a } from "../a.ts";\nconst c = await import("./c.mjs");`,
      "deep/c.mjs": "",
      "side.js": "",
      "data.json": `{ "from": "./client.ts" }`,
      "gen/p_pb.js": "",
      "client.ts": "",
    });
    const files = await importedFiles([join(directory, "handlers.ts")]);
    expect(files.map((file) => relative(directory, file)).sort()).toEqual([
      "a.ts",
      "data.json",
      "deep/b.ts",
      "deep/c.mjs",
      "handlers.ts",
      "side.js",
    ]);
  });
});

describe("fingerprint", () => {
  it("changes when a file is written, comes or goes, and only then", async () => {
    const directory = await directoryWith({ a: "1" });
    const files = [join(directory, "a"), join(directory, "b")];
    const states = [await fingerprint(files)];
    expect(await fingerprint(files.toReversed())).toBe(states[0]);
    await writeFile(join(directory, "a"), "22");
    states.push(await fingerprint(files));
    await writeFile(join(directory, "b"), "");
    states.push(await fingerprint(files));
    await rm(join(directory, "a"));
    states.push(await fingerprint(files));
    expect(new Set(states).size).toBe(4);
  });
});
