import { describe, expect, it } from "vitest";
import { NameSet } from "../../src/runs/name-set.ts";

describe("NameSet", () => {
  it("takes each name once, however many there are", () => {
    const names = new NameSet();
    const all = Array.from({ length: 100 }, (_, index) => `name ${index}`);
    expect(all.filter((name) => !names.take(name))).toEqual([]);
    expect(all.filter((name) => names.take(name))).toEqual([]);
    expect(names.take("another")).toBe(true);
  });
});
