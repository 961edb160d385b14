const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/** East Asian wide and full-width characters (Unicode's EAW property W and F), and pictures. */
const wide =
  /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}]/u;
const invisible = /^[\p{Mn}\p{Me}\p{Cf}]+$/u;

/** How many columns of a terminal a text takes. */
export function textWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += graphemeWidth(segment);
  return width;
}

/** As much of a text as fits, with an ellipsis in place of what does not. */
export function fitText(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  if (width < 1) return "";
  let taken = 0;
  let fitted = "";
  for (const { segment } of graphemes.segment(text)) {
    taken += graphemeWidth(segment);
    if (taken > width - 1) break;
    fitted += segment;
  }
  return `${fitted}…`;
}

/** The same, keeping the end: of a path the last words say most. */
export function fitTextEnd(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  if (width < 1) return "";
  const segments = Array.from(graphemes.segment(text), ({ segment }) => segment).reverse();
  let taken = 0;
  let fitted = "";
  for (const segment of segments) {
    taken += graphemeWidth(segment);
    if (taken > width - 1) break;
    fitted = segment + fitted;
  }
  return `…${fitted}`;
}

/** Filled with spaces up to a width. */
export function padText(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - textWidth(text)));
}

function graphemeWidth(segment: string): number {
  if (invisible.test(segment)) return 0;
  return wide.test(segment) ? 2 : 1;
}
