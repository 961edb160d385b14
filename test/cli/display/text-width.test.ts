import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fitText, fitTextEnd, padText, textWidth } from "../../../src/cli/display/text-width.ts";

describe("textWidth", () => {
  it.each([
    ["", 0],
    ["film", 4],
    ["schön", 5],
    ["scho\u0308n", 5],
    ["映像", 4],
    ["필름", 4],
    ["🎬", 2],
    ["👩‍🎨", 2],
    ["a\u200bb", 2],
    ["█░", 2],
  ])("of %j is %i", (text, width) => {
    expect(textWidth(text)).toBe(width);
  });
});

describe("fitText", () => {
  it.each([
    ["a sunset", 8, "a sunset"],
    ["a sunset", 7, "a suns…"],
    ["a sunset", 1, "…"],
    ["a sunset", 0, ""],
    ["映像映像", 5, "映像…"],
    ["映像映像", 4, "映…"],
  ])("fits %j into %i", (text, width, fitted) => {
    expect(fitText(text, width)).toBe(fitted);
  });

  it.each([
    ["storycore.video.v1.VideoService/Animatic", 20, "…deoService/Animatic"],
    ["映像映像", 6, "…映像"],
    ["short", 5, "short"],
    ["short", 4, "…ort"],
    ["short", 0, ""],
  ])("keeps the end of %j in %i", (text, width, fitted) => {
    expect(fitTextEnd(text, width)).toBe(fitted);
  });

  it("never takes more room than there is, and cuts only what does not fit", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 0, max: 30 }), (text, width) => {
        for (const cut of [fitText, fitTextEnd]) {
          expect(textWidth(cut(text, width))).toBeLessThanOrEqual(width);
          if (textWidth(text) <= width) expect(cut(text, width)).toBe(text);
        }
      }),
    );
  });
});

describe("padText", () => {
  it("fills up by width, not by characters", () => {
    expect(padText("映像", 6)).toBe("映像  ");
    expect(padText("film", 2)).toBe("film");
  });
});
