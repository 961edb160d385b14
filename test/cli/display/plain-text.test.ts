import { describe, expect, it } from "vitest";
import { plainText } from "../../../src/cli/display/plain-text.ts";

describe("plainText", () => {
  it.each([
    ["plain", "plain"],
    ["two\nlines\r\nand a\ttab", "two lines and a tab"],
    ["\u001b[31mred\u001b[0m", "red"],
    ["\u001b]0;window title\u0007rest", "rest"],
    ["\u009b2Jgone", "gone"],
    ["\u001b[2J\u001b[Hretake: all is well", "retake: all is well"],
    ["back\b\b\bspaces\u007f", "back spaces"],
    ["\u202eturned\u202c around\u2066", "turned  around"],
    ["schön 映像 🎬", "schön 映像 🎬"],
    ["\u001b", ""],
  ])("makes %j harmless", (text, plain) => {
    expect(plainText(text)).toBe(plain);
  });
});
