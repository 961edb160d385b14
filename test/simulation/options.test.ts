import { describe, expect, it } from "vitest";
import { parseOptions } from "./options.ts";

describe("the options of npm run simulate", () => {
  it("have defaults", () => {
    expect(parseOptions([])).toEqual({ seeds: 1000, from: 1, without: new Set(), digests: false, quick: false });
  });

  it("take what a failing seed prints", () => {
    const args = "--seeds 1 --from 42 --without caller-1,fault-0,work-2.1".split(" ");
    expect(parseOptions(args)).toMatchObject({
      seeds: 1,
      from: 42,
      without: new Set(["caller-1", "fault-0", "work-2.1"]),
    });
  });

  it.each([
    ["--seeds", "-1"],
    ["--seeds", "many"],
    ["--from", "1.5"],
    ["--form", "1"],
  ])("refuse %s %s", (...args) => {
    expect(() => parseOptions(args)).toThrow(args[0]);
  });
});
