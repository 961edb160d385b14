import { describe, expect, it } from "vitest";
import { parseOptions } from "../../bench/options.ts";

describe("parseOptions", () => {
  it("measures everything for two minutes by default", () => {
    expect(parseOptions([])).toEqual({ only: undefined, json: undefined, seconds: 120 });
  });

  it("takes a name, a file and a time", () => {
    expect(parseOptions(["--only", "bridge", "--json", "figures.json", "--seconds", "2.5"])).toEqual({
      only: "bridge",
      json: "figures.json",
      seconds: 2.5,
    });
  });

  it.each(["0", "-1", "3601", "soon", ""])("refuses %j seconds", (seconds) => {
    expect(() => parseOptions([`--seconds=${seconds}`])).toThrow(`and not "${seconds}"`);
  });

  it("refuses what it does not know", () => {
    expect(() => parseOptions(["--fast"])).toThrow("--fast");
    expect(() => parseOptions(["bridge"])).toThrow("bridge");
  });
});
