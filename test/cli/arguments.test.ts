import { describe, expect, it } from "vitest";
import { parseArguments } from "../../src/cli/arguments.ts";
import type { Flags, Positional } from "../../src/cli/command.ts";

const flags: Flags = {
  input: { value: "JSON", short: "i", description: "" },
  state: { value: "STATE", multiple: true, description: "" },
  watch: { short: "w", description: "" },
};
const positionals: Positional[] = [
  { name: "WORKFLOW", description: "what to run" },
  { name: "MORE", description: "more", optional: true },
];

describe("parseArguments", () => {
  it("reads flags in every form, anywhere among the positionals", () => {
    const given = parseArguments(["--state=a", "Echo", "-w", "--state", "b", "-i", "{}"], flags, positionals);
    expect(given.positional("WORKFLOW")).toBe("Echo");
    expect(given.positional("MORE")).toBe("");
    expect(given.has("watch")).toBe(true);
    expect(given.has("input")).toBe(true);
    expect(given.value("input")).toBe("{}");
    expect(given.values("state")).toEqual(["a", "b"]);
    expect(given.value("state")).toBe("b");
    expect(given.values("input")).toEqual(["{}"]);
  });

  it("takes everything behind -- for positionals", () => {
    expect(parseArguments(["--", "--watch"], flags, positionals).positional("WORKFLOW")).toBe("--watch");
  });

  it("takes a lone dash, and a negative number, for a value", () => {
    expect(parseArguments(["Echo", "--input", "-7"], flags, positionals).value("input")).toBe("-7");
    expect(parseArguments(["Echo", "--input", "-"], flags, positionals).value("input")).toBe("-");
  });

  it("takes a value that begins with a dash behind an equals sign, and an empty one", () => {
    expect(parseArguments(["Echo", "--input=--watch"], flags, positionals).value("input")).toBe("--watch");
    expect(parseArguments(["Echo", "--input="], flags, positionals).value("input")).toBe("");
  });

  it("repeats flags as they would be given again", () => {
    const given = parseArguments(["Echo", "-w", "-i", "1", "-i", "2"], flags, positionals);
    expect(given.given(["input", "watch", "state"])).toEqual(["--input", "2", "--watch"]);
  });

  it.each([
    [["Echo", "--wtach"], 'there is no flag --wtach. Did you mean "--watch"?'],
    [["Echo", "--xyz"], "there is no flag --xyz."],
    [["Echo", "-x"], "there is no flag -x."],
    [["Echo", "--toString"], "there is no flag --toString."],
    [["Echo", "--watch=yes"], "--watch takes no value"],
    [["Echo", "--input"], "--input needs a value: --input JSON"],
    [["Echo", "-i"], "-i needs a value: -i JSON"],
    [["Echo", "--input", "--watch"], 'If "--watch" is meant: --input=--watch'],
    [[], "WORKFLOW is missing: what to run"],
    [["a", "b", "c"], '"c" is one argument too many'],
  ])("refuses %j", (argv, message) => {
    expect(() => parseArguments(argv, flags, positionals)).toThrow(message);
  });
});
