import { framesAtOnce, mapInOrder } from "./in-order.ts";

/** WebP qualities, best first. Below the last one, letters can no longer be read. */
export const qualities = [75, 55, 35, 15, 4] as const;

/** How the encoding of a sequence of frames is bounded and observed. */
export interface FitOptions {
  readonly maxBytes: number;
  /** Bytes that each frame costs beside its own. */
  readonly overhead: number;
  readonly signal: AbortSignal;
  /** Called after each frame, in order. After a start at a lower quality it counts from 1 again. */
  readonly onFrame: (done: number) => void;
}

/**
 * Encodes `count` frames at the best quality at which all of them fit into `maxBytes`; `undefined` when none is low enough.
 * A quality is given up as soon as the frames so far foretell that it is too good.
 */
export async function encodeToFit(
  count: number,
  encode: (index: number, quality: number) => Promise<Uint8Array>,
  { maxBytes, overhead, signal, onFrame }: FitOptions,
): Promise<Uint8Array[] | undefined> {
  const indices = Array.from({ length: count }, (_, index) => index);
  for (const quality of qualities) {
    const encoded: Uint8Array[] = [];
    let bytes = 0;
    for await (const frame of mapInOrder(indices, framesAtOnce, signal, (index) => encode(index, quality))) {
      encoded.push(frame);
      bytes += frame.byteLength + overhead;
      const foretold = (bytes / encoded.length) * count;
      if (bytes > maxBytes || foretold > 1.5 * maxBytes) break;
      onFrame(encoded.length);
    }
    if (encoded.length === count && bytes <= maxBytes) return encoded;
  }
  return undefined;
}
