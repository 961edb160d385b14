import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { contractImports } from "../../../src/cli/contract-imports.ts";
import { compileProtos } from "../../compile-protos.ts";
import { jsonLines, retake } from "../harness.ts";
import { contract, directoryWith } from "../projects.ts";

describe("retake protos", () => {
  it("writes what a contract may import, and says how to point compilers at it", async () => {
    const directory = join(await directoryWith(), "imports");
    const { exitCode, stdout } = await retake(["protos", directory]);
    expect(exitCode).toBe(0);
    expect(await readFile(join(directory, "retake/v1/options.proto"), "utf8")).toContain("Makes the method a workflow");
    expect(await readFile(join(directory, "buf/validate/validate.proto"), "utf8")).toContain("message StringRules");
    expect(await readFile(join(directory, "google/rpc/error_details.proto"), "utf8")).toContain("message RetryInfo");
    expect(stdout).toContain(`protoc -I ${directory} -I proto`);
    expect(stdout).toContain(`    - path: ${directory}`);
  });

  it("writes files that compile with each other and with a contract", async () => {
    const source = contract(
      "message Empty {}\nservice S { rpc M(Empty) returns (Empty) { option (retake.v1.workflow) = {}; } }",
    );
    const registry = await compileProtos({
      ...Object.fromEntries(await contractImports()),
      "studio/v1/s.proto": source,
    });
    expect(registry.getService("studio.v1.S")).toBeDefined();
    expect(registry.getService("retake.v1.RunService")).toBeDefined();
  });

  it("brings back what was changed, and leaves alone what is right", async () => {
    const directory = await directoryWith();
    await retake(["protos", directory]);
    await writeFile(join(directory, "google/rpc/code.proto"), "nothing");
    const { stdout } = await retake(["protos", directory, "--json"]);
    const changes = new Map(jsonLines(stdout).map(({ file, change }) => [file, change]));
    expect(changes.get(join(directory, "google/rpc/code.proto"))).toBe("updated");
    expect([...changes.values()].filter((change) => change === "unchanged")).toHaveLength(changes.size - 1);
  });

  it("names a path that cannot be written", async () => {
    const directory = await directoryWith({ imports: "a file" });
    const { exitCode, stderr } = await retake(["protos", join(directory, "imports")]);
    expect(exitCode).toBe(6);
    expect(stderr).toContain(`${join(directory, "imports")}`);
    expect(stderr).toContain("cannot be written");
  });
});
