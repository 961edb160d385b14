import { describe, expect, it } from "vitest";
import { nearestName, suggestion } from "../src/nearest-name.ts";

describe("nearestName", () => {
  it.each([
    ["grcp", ["web", "grpc"], "grpc"],
    ["prot", ["port", "host"], "port"],
    ["concurency_limit", ["concurrency_limit", "retention"], "concurrency_limit"],
    ["TexttoVideo", ["TextToVideo", "ImageToVideo"], "TextToVideo"],
    ["a.B/Rendr", ["a.B/Render", "a.B/Render2"], "a.B/Render"],
    ["ab", ["abc"], "abc"],
  ])("takes %s in %j for %s", (name, known, expected) => {
    expect(nearestName(name, known)).toBe(expected);
  });

  it.each([
    ["web", ["grpc", "log"]],
    ["", ["grpc"]],
    ["timeout", []],
    ["x", ["yz"]],
    ["video", ["audit", "radio station"]],
  ])("takes %j in %j for nothing", (name, known) => {
    expect(nearestName(name, known)).toBeUndefined();
  });

  it("takes nothing for a name that nobody types by hand", () => {
    expect(nearestName("x".repeat(257), ["x".repeat(256)])).toBeUndefined();
  });
});

describe("suggestion", () => {
  it("is a question to put behind a message, or nothing", () => {
    expect(suggestion("grcp", ["grpc"])).toBe(' Did you mean "grpc"?');
    expect(suggestion("grcp", ["web"])).toBe("");
  });
});
