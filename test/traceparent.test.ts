import { describe, expect, it } from "vitest";
import { keptTraceIdOf, readTraceparent, readTracestate } from "../src/traceparent.ts";

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
