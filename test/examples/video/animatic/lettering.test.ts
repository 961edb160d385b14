import { describe, expect, it } from "vitest";
import { type Lettering, setText } from "../../../../examples/video/animatic/lettering.ts";
import type { Pixels } from "../../../../examples/video/animatic/picture.ts";

const style: Lettering = {
  face: "DejaVu Sans",
  colour: "#ff0000",
  size: 24,
  minSize: 12,
  maxWidth: 200,
  maxHeight: 60,
};

function ink(pixels: Pixels | undefined): number {
  return pixels?.data.filter((value, index) => index % 4 === 3 && value > 128).length ?? 0;
}

describe("setText", () => {
  it("draws letters in the colour that is asked for, within the box", async () => {
    const set = await setText("Hello", style);
    expect(set?.width).toBeLessThanOrEqual(style.maxWidth);
    expect(set?.height).toBeLessThanOrEqual(style.maxHeight);
    expect(ink(set)).toBeGreaterThan(100);
    const opaque = set?.data.findIndex((value, index) => index % 4 === 3 && value === 255) ?? 0;
    expect([...(set?.data.subarray(opaque - 3, opaque + 1) ?? [])]).toEqual([255, 0, 0, 255]);
  });

  it("takes markup for what it is: text", async () => {
    const marked = await setText("<b>&amp;</b>", style);
    const plain = await setText("&", style);
    expect(marked?.width).toBeGreaterThan(3 * (plain?.width ?? 0));
    expect(ink(await setText("</span><span", style))).toBeGreaterThan(100);
  });

  it.each([
    ["right to left", "שלום עולם, مرحبا بالعالم"],
    ["both directions", "one שתיים three أربعة"],
    ["emoji, joined and alone", "👩‍👩‍👧‍👦 🚀 🏳️‍🌈"],
    ["Chinese and Devanagari", "漢字 नमस्ते"],
    ["an unpaired surrogate", "broken \ud83d here"],
    ["control characters", "a\u0000b\u0007c\u001bd"],
    ["non-characters", "a\ufffe\uffff\u{1fffe}b"],
    ["stacked accents", `z${"\u0300\u0348".repeat(30)}algo`],
    ["line ends of every kind", "a\r\nb\rc\u2028d\ne"],
  ])("sets %s", async (_, text) => {
    const set = await setText(text, style);
    expect(ink(set)).toBeGreaterThan(20);
    expect(set?.width).toBeLessThanOrEqual(style.maxWidth);
    expect(set?.height).toBeLessThanOrEqual(style.maxHeight);
  });

  it.each(["", " \n\t ", "\u200b\u200f", "\u0000", "\ufffe"])("draws nothing for %j", async (text) => {
    expect(await setText(text, style)).toBeUndefined();
  });

  it("chooses smaller letters before it shortens", async () => {
    const text = "one two three four five six seven eight";
    const small = await setText(text, style);
    const roomy = await setText(text, { ...style, maxHeight: 400 });
    expect(small?.height).toBeLessThanOrEqual(60);
    expect(roomy?.height).toBeGreaterThan(60);
  });

  it.each([
    ["many words", "word ".repeat(100_000)],
    ["one endless word", "w".repeat(500_000)],
    ["one endless grapheme", `e${"\u0301".repeat(500_000)}`],
    ["only line ends between words", "word\n\n\n".repeat(10_000)],
  ])(
    "shortens %s to what fits, quickly",
    async (_, text) => {
      const set = await setText(text, style);
      if (set !== undefined) {
        expect(set.width).toBeLessThanOrEqual(style.maxWidth);
        expect(set.height).toBeLessThanOrEqual(style.maxHeight);
      }
      const isOneGrapheme = text.startsWith("e\u0301");
      expect(ink(set) > 100 || isOneGrapheme).toBe(true);
    },
    5_000,
  );
});
