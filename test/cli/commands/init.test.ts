import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { nodeBinaries } from "../../../src/cli/init/manifest.ts";
import { jsonLines, retake } from "../harness.ts";
import { directoryWith } from "../projects.ts";

async function manifestIn(directory: string): Promise<Record<string, Record<string, string>>> {
  return JSON.parse(await readFile(join(directory, "package.json"), "utf8"));
}

describe("retake init", () => {
  it("makes a project, and says what to do next", async () => {
    const directory = join(await directoryWith(), "films");
    const { exitCode, stdout, stderr } = await retake(["init", directory]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toContain(`cd ${directory}\n  npm install\n  npm test\n  npm run dev`);
    expect((await readdir(directory)).sort()).toEqual([
      ".gitignore",
      "README.md",
      "buf.gen.yaml",
      "buf.yaml",
      "client.ts",
      "handlers.ts",
      "imports",
      "package.json",
      "proto",
      "test",
      "tsconfig.json",
    ]);
    expect(await readFile(join(directory, "proto/films/v1/films_service.proto"), "utf8")).toContain(
      "package films.v1;",
    );
    expect(await readFile(join(directory, "handlers.ts"), "utf8")).toContain(
      'from "./gen/films/v1/films_service_pb.js"',
    );
    expect((await manifestIn(directory))["optionalDependencies"]).toEqual(nodeBinaries);
  });

  it("makes a contract in which nothing will hurt", async () => {
    const directory = await directoryWith();
    await retake(["init", directory, "--package", "acme.media.v2"]);
    expect(await retake(["lint", directory])).toMatchObject({ exitCode: 0, stderr: "Nothing to mend.\n" });
  });

  it("depends on the Node that this repository is developed with", async () => {
    const { optionalDependencies } = await manifestIn("tools/node");
    expect(nodeBinaries).toEqual(optionalDependencies);
  });

  it("adds what package.json and .gitignore lack, and keeps README.md", async () => {
    const directory = await directoryWith({
      "package.json": JSON.stringify({
        name: "mine",
        type: "commonjs",
        scripts: { test: 'echo "Error: no test specified" && exit 1', dev: "my own" },
        dependencies: { retake: "file:x.tgz" },
      }),
      ".gitignore": "node_modules/\nmine",
      "README.md": "# Mine",
    });
    expect((await retake(["init", directory])).exitCode).toBe(0);
    expect(await manifestIn(directory)).toMatchObject({
      name: "mine",
      type: "module",
      scripts: { test: "buf generate && node --test", dev: "my own" },
      dependencies: { retake: "file:x.tgz", "@bufbuild/protobuf": expect.stringMatching(/^\^\d/) },
    });
    expect(await readFile(join(directory, ".gitignore"), "utf8")).toBe("node_modules/\nmine\ngen/\n.retake/\n");
    expect(await readFile(join(directory, "README.md"), "utf8")).toBe("# Mine");
  });

  it("overwrites nothing, and writes nothing then", async () => {
    const directory = await directoryWith({ "handlers.ts": "mine", "imports/retake/v1/run.proto": "mine" });
    const { exitCode, stderr } = await retake(["init", directory]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("nothing was written: handlers.ts, imports/retake/v1/run.proto");
    expect(stderr).toContain("retake init DIR");
    expect((await readdir(directory)).sort()).toEqual(["handlers.ts", "imports"]);
    await rm(join(directory, "handlers.ts"));
    expect((await retake(["init", directory])).stderr).toContain(`retake protos ${join(directory, "imports")}`);
  });

  it("changes nothing in a project that it made", async () => {
    const directory = await directoryWith();
    await retake(["init", directory]);
    const { exitCode, stdout } = await retake(["init", directory, "--json"]);
    expect(exitCode).toBe(0);
    expect(new Set(jsonLines(stdout).map(({ change }) => change))).toEqual(new Set(["unchanged"]));
  });

  it("refuses what is no directory, and a package.json that is no JSON", async () => {
    const directory = await directoryWith({ file: "", "broken/package.json": "{" });
    const file = await retake(["init", join(directory, "file")]);
    expect(file).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("is a file: name a directory") });
    const broken = await retake(["init", join(directory, "broken")]);
    expect(broken).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("package.json is no JSON") });
  });

  it("takes what stands in the place of a folder for something in the way", async () => {
    const directory = await directoryWith({ proto: "a file" });
    await mkdir(join(directory, "client.ts"));
    await writeFile(join(directory, "other"), "");
    const { exitCode, stderr } = await retake(["init", directory]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("client.ts");
    expect(stderr).toContain("proto/");
  });
});
