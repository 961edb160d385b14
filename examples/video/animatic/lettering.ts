import sharp from "sharp";
import "./fonts.ts";
import type { Pixels } from "./picture.ts";

/** How a text is set. */
export interface Lettering {
  /** Families, in Pango's notation, without a size. */
  readonly face: string;
  /** `#rrggbb`. */
  readonly colour: string;
  /** The size in pixels to begin with; smaller ones are tried, down to `minSize`, before the text is shortened. */
  readonly size: number;
  readonly minSize: number;
  readonly maxWidth: number;
  readonly maxHeight: number;
}

/** No text is ever set longer than this: what does not fit a frame at reading size need not be laid out. */
const maxGraphemes = 600;

/** The same in UTF-16 units, because one grapheme may be made of any number of characters. */
const maxUnits = 4000;

/**
 * Sets a text, centred and wrapped, as small as it must be and no smaller; what still does not fit ends in an ellipsis. Any
 * Unicode goes, in either direction; a glyph that no font has shows as a box with its number. `undefined` when nothing
 * is to be seen.
 */
export async function setText(text: string, style: Lettering): Promise<Pixels | undefined> {
  const graphemes = [...new Intl.Segmenter("und").segment(printable(text.slice(0, maxUnits + 1)))].map(
    ({ segment }) => segment,
  );
  if (graphemes.length === 0) return undefined;
  const whole = graphemes.length <= maxGraphemes && text.length <= maxUnits;
  for (let size = style.size; whole && size > style.minSize; size *= 0.88) {
    const set = await draw(graphemes.join(""), size, style);
    if (set === undefined || fits(set, style)) return set;
  }
  if (whole) {
    const set = await draw(graphemes.join(""), style.minSize, style);
    if (set === undefined || fits(set, style)) return set;
  }
  return shorten(graphemes.slice(0, maxGraphemes), style);
}

/** The longest beginning that fits at the smallest size, found by halving. */
async function shorten(graphemes: readonly string[], style: Lettering): Promise<Pixels | undefined> {
  let best: Pixels | undefined;
  let fitting = 0;
  let tooLong = graphemes.length + 1;
  while (tooLong - fitting > 1) {
    const length = Math.floor((fitting + tooLong) / 2);
    const set = await draw(`${graphemes.slice(0, length).join("").trimEnd()}…`, style.minSize, style);
    if (set === undefined || fits(set, style)) {
      best = set ?? best;
      fitting = length;
    } else {
      tooLong = length;
    }
  }
  return best;
}

function fits({ width, height }: Pixels, { maxWidth, maxHeight }: Lettering): boolean {
  return width <= maxWidth && height <= maxHeight;
}

async function draw(text: string, size: number, { face, colour, maxWidth }: Lettering): Promise<Pixels | undefined> {
  try {
    const { data, info } = await sharp({
      text: {
        text: `<span foreground="${colour}">${escapeMarkup(text)}</span>`,
        font: `${face} ${size.toFixed(2)}`,
        dpi: 72,
        rgba: true,
        align: "center",
        width: maxWidth,
        wrap: "word-char",
      },
    })
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { data, width: info.width, height: info.height, channels: 4 };
  } catch (error) {
    // Characters without any ink leave an empty box, which Pango reports as an error.
    if (error instanceof Error && error.message.includes("no text to render")) return undefined;
    throw error;
  }
}

/** Without what cannot stand in markup (control characters, unpaired surrogates, non-characters), on trimmed lines. */
function printable(text: string): string {
  return text
    .toWellFormed()
    .replace(/\r\n?|[\u0085\u2028\u2029]/g, "\n")
    .replace(/[^\P{Cc}\n\t]|\p{Noncharacter_Code_Point}/gu, "")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

function escapeMarkup(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
