import { describe, expect, it } from "vitest";
import { parseOptions } from "../../bench/options.ts";

describe("parseOptions", () => {
  it("measures everything for two minutes by default", () => {
    expect(parseOptions([])).toEqual({ only: undefined, json: undefined, seconds: 120, scale: 1 });
  });

  it("takes a name, a file, a time and a share", () => {
    expect(parseOptions(["--only", "bridge", "--json", "figures.json", "--seconds", "2.5", "--scale", "0.1"])).toEqual({
      only: "bridge",
      json: "figures.json",
      seconds: 2.5,
      scale: 0.1,
    });
  });

  it.each(["0", "-1", "3601", "soon", ""])("refuses %j seconds", (seconds) => {
    expect(() => parseOptions([`--seconds=${seconds}`])).toThrow(`and not "${seconds}"`);
  });

  it.each(["0", "-1", "1.1", "half", ""])("refuses a scale of %j", (scale) => {
    expect(() => parseOptions([`--scale=${scale}`])).toThrow(`and not "${scale}"`);
  });

  it("refuses what it does not know", () => {
    expect(() => parseOptions(["--fast"])).toThrow("--fast");
    expect(() => parseOptions(["bridge"])).toThrow("bridge");
  });
});
