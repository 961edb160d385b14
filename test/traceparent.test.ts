import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  isSampled,
  keptTraceIdOf,
  readTraceparent,
  readTracestate,
  spanIdOf,
  traceIdOf,
  untraced,
} from "../src/traceparent.ts";

const trace = "0af7651916cd43dd8448eb211c80319c";
const span = "b7ad6b7169203331";
const of = (version: string, rest = "") => `${version}-${trace}-${span}-01${rest}`;

describe("a traceparent", () => {
  it.each([
    ["is taken as it is in version 00", of("00"), of("00")],
    ["is read as version 00 in one that follows it", of("01"), of("00")],
    ["may say more in one that follows", of("cc", "-what-the-future-will-be"), of("00")],
    ["says no more without a dash", of("cc", ".more"), ""],
    ["says no more in version 00", of("00", "-more"), ""],
    ["has no version ff", of("ff"), ""],
    ["names a trace", `00-${"0".repeat(32)}-${span}-01`, ""],
    ["names a span", `00-${trace}-${"0".repeat(16)}-01`, ""],
    ["is in lower case", of("00").toUpperCase(), ""],
    ["has all of its parts", `00-${trace}-${span}`, ""],
    ["may not be there", null, ""],
  ])("%s", (_, given, read) => {
    expect(readTraceparent(given)).toBe(read);
  });

  it("names nothing where a run is not traced", () => {
    expect([traceIdOf(untraced), spanIdOf(untraced), keptTraceIdOf(untraced), isSampled(untraced)]).toEqual([
      ...["", "", "", false],
    ]);
    expect(readTraceparent(untraced)).toBe("");
  });

  it("is taken where the pattern of the W3C fits, and nowhere else", () => {
    const pattern = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
    const alphabet = "09afAFg/:`-\u0130";
    const near = fc
      .tuple(
        fc.integer({ min: 2, max: 54 }),
        fc.constantFrom(...alphabet),
        fc.constantFrom(of("00"), `00-${"0".repeat(31)}1-${span}-ff`),
      )
      .map(([at, char, text]) => text.slice(0, at) + char + text.slice(at + 1));
    fc.assert(
      fc.property(near, (given) => {
        expect(readTraceparent(given)).toBe(pattern.test(given) ? given : "");
      }),
      { numRuns: 2000 },
    );
  });

  it("is kept by the last bit of its flags", () => {
    for (let flags = 0; flags < 256; flags++) {
      const given = of("00").replace(/01$/, flags.toString(16).padStart(2, "0"));
      expect(isSampled(given)).toBe(flags % 2 === 1);
    }
  });

  it("leads to its trace where that is kept", () => {
    expect(keptTraceIdOf(of("00"))).toBe(trace);
    expect(keptTraceIdOf(of("00").replace(/01$/, "00"))).toBe("");
    expect(keptTraceIdOf("")).toBe("");
  });
});

describe("a tracestate", () => {
  const members = (count: number, length: number) =>
    Array.from({ length: count }, (_, index) => `k${index}=`.padEnd(length, "v"));

  it.each([
    ["is passed on", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"],
    ["may have spaces between members, and members without anything", "a=1 , ,\tb=2,", "a=1,b=2"],
    ["has text that every protocol takes", "a=\u00fc", ""],
    ["may not be there", null, ""],
    ["has at most 32 members", members(40, 6).join(","), members(32, 6).join(",")],
    ["has at most 512 characters, and loses its last members", members(8, 100).join(","), members(5, 100).join(",")],
    ["loses long members first", [`long=${"v".repeat(200)}`, ...members(4, 100)].join(","), members(4, 100).join(",")],
  ])("%s", (_, given, read) => {
    expect(readTracestate(given)).toBe(read);
  });
});
