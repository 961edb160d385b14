/** Pixels in memory, row by row, without padding: three bytes each (sRGB), or four with alpha. */
export interface Pixels {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: 3 | 4;
}

/** What sharp needs to know about raw pixels. */
export function rawInput({ width, height, channels }: Pixels): { raw: Omit<Pixels, "data"> } {
  return { raw: { width, height, channels } };
}

/** The same bytes as a Buffer: sharp's `composite` takes nothing else. */
export function bufferOf({ data }: Pixels): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * Draws a layer with alpha over opaque pixels, in place; the layer must lie within them. Sharp could do it, but takes ten
 * milliseconds a frame, twenty times as long, because it converts the whole frame to floating point.
 */
export function drawOver(base: Pixels, layer: Pixels, left: number, top: number): void {
  for (let row = 0; row < layer.height; row++) {
    let from = row * layer.width * 4;
    let to = ((top + row) * base.width + left) * 3;
    for (let column = 0; column < layer.width; column++, from += 4, to += 3) {
      const alpha = layer.data[from + 3] as number;
      if (alpha === 0) continue;
      for (let channel = 0; channel < 3; channel++) {
        const under = base.data[to + channel] as number;
        base.data[to + channel] = under + Math.round((((layer.data[from + channel] as number) - under) * alpha) / 255);
      }
    }
  }
}

/** Two opaque pictures of one size as one: `share` of the second, from 0 to 1. */
export function mix(first: Pixels, second: Pixels, share: number): Pixels {
  const data = Buffer.allocUnsafe(first.data.length);
  const weight = Math.round(share * 256);
  for (let index = 0; index < data.length; index++) {
    const from = first.data[index] as number;
    data[index] = from + ((((second.data[index] as number) - from) * weight + 128) >> 8);
  }
  return { ...first, data };
}
