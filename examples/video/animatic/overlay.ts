import sharp from "sharp";
import { faces } from "./fonts.ts";
import { setText } from "./lettering.ts";
import { bufferOf, type Pixels, rawInput } from "./picture.ts";

/** Something drawn over every frame of a shot, at rest while the picture moves under it. */
export interface Overlay extends Pixels {
  readonly left: number;
  readonly top: number;
}

/** What an overlay is drawn from. */
export interface Words {
  readonly title: string;
  readonly text: string;
}

interface Frame {
  readonly width: number;
  readonly height: number;
}

/** The title in the upper half, and the text on a darkened band at the bottom. */
export async function drawOverlays(words: Words, frame: Frame): Promise<Overlay[]> {
  const drawn = await Promise.all([drawTitle(words.title, frame), drawCaption(words.text, frame)]);
  return drawn.filter((overlay) => overlay !== undefined);
}

async function drawTitle(title: string, { width, height }: Frame): Promise<Overlay | undefined> {
  const unit = Math.min(height, width * 0.75);
  const style = {
    face: faces.title,
    size: unit * 0.135,
    minSize: unit * 0.06,
    maxWidth: Math.floor(width * 0.84),
    maxHeight: Math.floor(height * 0.42),
  };
  const letters = await setText(title, { ...style, colour: "#fffaf0" });
  const shade = await setText(title, { ...style, colour: "#0a0f24" });
  if (letters === undefined || shade === undefined) return undefined;
  const margin = Math.ceil(unit * 0.035);
  const box = { width: letters.width + 2 * margin, height: letters.height + 2 * margin };
  const shadow = await softened(shade, margin, unit * 0.012);
  const below = Math.max(1, Math.round(unit * 0.006));
  return placed(
    await layered(box, [
      { ...shadow, left: 0, top: 0 },
      { ...letters, left: margin, top: margin - below },
    ]),
    (width - box.width) / 2,
    height * 0.25 - box.height / 2,
    { width, height },
  );
}

async function drawCaption(text: string, { width, height }: Frame): Promise<Overlay | undefined> {
  const unit = Math.min(height, width * 0.75);
  const letters = await setText(text, {
    face: faces.caption,
    colour: "#ffffff",
    size: unit * 0.054,
    minSize: unit * 0.036,
    maxWidth: Math.floor(width * 0.88),
    maxHeight: Math.floor(height * 0.26),
  });
  if (letters === undefined) return undefined;
  const margin = Math.ceil(unit * 0.055);
  const fade = Math.ceil(unit * 0.16);
  const box = { width, height: Math.min(height, letters.height + margin + fade) };
  const band = `<svg xmlns="http://www.w3.org/2000/svg" width="${box.width}" height="${box.height}"><defs><linearGradient id="band" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-opacity="0"/><stop offset="${(fade / box.height).toFixed(3)}" stop-opacity="0.5"/><stop offset="1" stop-opacity="0.72"/></linearGradient></defs><rect width="100%" height="100%" fill="url(#band)"/></svg>`;
  const { data } = await sharp(Buffer.from(band)).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  return placed(
    await layered(box, [
      { data, ...box, channels: 4, left: 0, top: 0 },
      {
        ...letters,
        left: Math.floor((width - letters.width) / 2),
        top: Math.max(0, box.height - margin - letters.height),
      },
    ]),
    0,
    height - box.height,
    { width, height },
  );
}

/** A blurred copy with a transparent margin for the blur to spread into. */
async function softened(pixels: Pixels, margin: number, sigma: number): Promise<Pixels> {
  const { data, info } = await sharp(pixels.data, rawInput(pixels))
    .extend({ top: margin, bottom: margin, left: margin, right: margin, background: { r: 0, g: 0, b: 0, alpha: 0 } })
    .blur(Math.max(0.5, sigma))
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: 4 };
}

async function layered(box: Frame, layers: readonly Overlay[]): Promise<Pixels> {
  const { data } = await sharp({ create: { ...box, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } } })
    .composite(layers.map(({ left, top, ...pixels }) => ({ input: bufferOf(pixels), ...rawInput(pixels), left, top })))
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, ...box, channels: 4 };
}

function placed(pixels: Pixels, left: number, top: number, frame: Frame): Overlay {
  const within = (value: number, room: number) => Math.min(Math.max(0, Math.round(value)), Math.max(0, room));
  return {
    ...pixels,
    left: within(left, frame.width - pixels.width),
    top: within(top, frame.height - pixels.height),
  };
}
