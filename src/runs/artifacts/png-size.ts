/** What the header of a PNG says about its pixels. */
export interface PngHeader {
  readonly width: number;
  readonly height: number;
  readonly bitsPerPixel: number;
  readonly interlaced: boolean;
}

const samplesPerPixel: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** The passes of an interlaced image: the first column and row of each, and the steps to the next ones. */
const adam7: readonly (readonly [x: number, y: number, dx: number, dy: number])[] = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];

/** Reads the data of an IHDR chunk; undefined for one that no PNG has. */
export function readPngHeader(data: Buffer): PngHeader | undefined {
  if (data.length < 13) return undefined;
  const samples = samplesPerPixel[data.readUInt8(9)];
  if (samples === undefined) return undefined;
  return {
    width: data.readUInt32BE(0),
    height: data.readUInt32BE(4),
    bitsPerPixel: samples * data.readUInt8(8),
    interlaced: data.readUInt8(12) === 1,
  };
}

/** The bytes of an image before they were compressed: rows of pixels, each with the number of its filter before it. */
export function pngImageBytes({ width, height, bitsPerPixel, interlaced }: PngHeader): number {
  const rows = (columns: number, count: number): number =>
    columns <= 0 || count <= 0 ? 0 : count * (1 + Math.ceil((columns * bitsPerPixel) / 8));
  if (!interlaced) return rows(width, height);
  return adam7.reduce(
    (sum, [x, y, dx, dy]) => sum + rows(Math.ceil((width - x) / dx), Math.ceil((height - y) / dy)),
    0,
  );
}
