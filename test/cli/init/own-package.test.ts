import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ownSpec, packageRoot } from "../../../src/cli/init/own-package.ts";
import { directoryWith } from "../projects.ts";

const lock = (resolved: string) => JSON.stringify({ packages: { "node_modules/retake": { resolved } } });

describe("ownSpec", () => {
  it("is the folder that a checkout runs in", async () => {
    expect(await ownSpec(join(packageRoot, "studio"), "1.2.3")).toBe("file:..");
  });

  it("is the packed file that it was installed from", async () => {
    const directory = await directoryWith({
      "retake-1.2.3.tgz": "packed",
      "app/node_modules/.package-lock.json": lock("file:../retake-1.2.3.tgz"),
    });
    const root = join(directory, "app/node_modules/retake");
    expect(await ownSpec(join(directory, "app"), "1.2.3", root)).toBe("file:../retake-1.2.3.tgz");
    expect(await ownSpec(join(directory, "app/deep/er"), "1.2.3", root)).toBe("file:../../../retake-1.2.3.tgz");
  });

  it.each([
    ["came from a registry", lock("https://registry.example/retake-1.2.3.tgz")],
    ["came from a packed file that is gone", lock("file:../gone.tgz")],
    ["was installed by another package manager", "no JSON"],
  ])("is the version where it %s", async (_, remembered) => {
    const directory = await directoryWith({ "node_modules/.package-lock.json": remembered });
    expect(await ownSpec(directory, "1.2.3", join(directory, "node_modules/retake"))).toBe("^1.2.3");
  });
});
