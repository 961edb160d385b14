import { describe, expect, it } from "vitest";
import { prettyLine } from "../../src/server/pretty-line.ts";

const time = new Date(2026, 10, 27, 9, 5, 3, 42).getTime();

function pretty(entry: object): string {
  return prettyLine(
    `${JSON.stringify({ level: 40, time, pid: 1, hostname: "studio", ...entry })}\n`,
    (_, text) => text,
  );
}

describe("prettyLine", () => {
  it("is the time, the level, the message, and what belongs to it", () => {
    expect(pretty({ run_id: "r-1", attempt: 2, why: "two words", parts: ["a"], msg: "an attempt failed" })).toBe(
      '09:05:03.042 WARN  an attempt failed run_id=r-1 attempt=2 why="two words" parts=["a"]\n',
    );
  });

  it("has the stack of an error below it", () => {
    const err = { type: "TypeError", message: "a bug", stack: "TypeError: a bug\n    at shoot (film.ts:1:2)" };
    expect(pretty({ level: 50, err, msg: "a call failed" })).toBe(
      "09:05:03.042 ERROR a call failed\n    TypeError: a bug\n        at shoot (film.ts:1:2)\n",
    );
    expect(pretty({ err: { message: "no stack" }, msg: "m" })).toBe("09:05:03.042 WARN  m\n    no stack\n");
  });

  it("lets nobody draw on the terminal, nor write lines of his own", () => {
    const evil = "\u001b[2Ja\n09:00:00.000 INFO  all is well\u202e";
    const text = pretty({ [evil]: evil, err: { stack: `Error: ${evil}` }, msg: evil });
    expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(text.split("\n").filter((line) => line.startsWith("09:00"))).toEqual([]);
  });

  it("colours the level", () => {
    const painted = prettyLine('{"level":50,"time":0,"msg":"m"}', (style, text) => `<${String(style)}>${text}</>`);
    expect(painted).toContain("<red>ERROR</> m\n");
  });

  it("is what was logged where that is no line of the log", () => {
    expect(prettyLine("not JSON\n", (_, text) => text)).toBe("not JSON\n");
    expect(prettyLine("{}", (_, text) => text)).toBe("? undefined \n");
  });
});
