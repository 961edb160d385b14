import { describe, expect, it } from "vitest";
import { nodeProblem } from "../../src/cli/node-version.ts";

describe("nodeProblem", () => {
  it("tells who has an older Node how to get another", () => {
    expect(nodeProblem("20.20.2", "serve")).toContain("this is Node 20.20.2, and 24 or newer is needed");
    expect(nodeProblem("20.20.2", "dev")).toContain("npm run dev");
  });

  it("lets those begin who will get one, and those go on who have one", () => {
    expect(nodeProblem("20.20.2", "init")).toBeUndefined();
    expect(nodeProblem("20.20.2", "--help")).toBeUndefined();
    expect(nodeProblem("24.0.0", "serve")).toBeUndefined();
    expect(nodeProblem("26.10.0", "dev")).toBeUndefined();
  });
});
