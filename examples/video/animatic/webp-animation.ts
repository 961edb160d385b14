/** An animated WebP, taken apart. */
export interface Animation {
  readonly width: number;
  readonly height: number;
  /** Each a still WebP file. */
  readonly frames: readonly Uint8Array[];
}

/** What `writeAnimation` adds to the frames: the header, and so much for each of them. */
export const animationOverhead = { head: 44, frame: 24 } as const;

const animationFlag = 0x02;
/** Frames replace what was there: they are opaque and cover everything. */
const doNotBlend = 0x02;

/**
 * Joins still lossy WebP files, all of one size, into an animation that repeats for ever. The pixels are not encoded anew.
 * Joining here rather than in an encoder is what keeps memory at one frame: an encoder wants all of them raw, at once.
 */
export function writeAnimation(
  size: { readonly width: number; readonly height: number },
  frames: readonly Uint8Array[],
  fps: number,
): Uint8Array<ArrayBuffer> {
  const head = Buffer.alloc(8 + 10 + 8 + 6);
  head.write("VP8X", 0, "latin1");
  head.writeUInt32LE(10, 4);
  head[8] = animationFlag;
  head.writeUIntLE(size.width - 1, 12, 3);
  head.writeUIntLE(size.height - 1, 15, 3);
  head.write("ANIM", 18, "latin1");
  head.writeUInt32LE(6, 22);
  head.writeUInt32LE(0xff000000, 26);
  const chunks: Buffer[] = [head];
  frames.forEach((still, index) => {
    const image = imageChunk(still);
    const frame = Buffer.alloc(8 + 16);
    frame.write("ANMF", 0, "latin1");
    frame.writeUInt32LE(16 + image.length, 4);
    frame.writeUIntLE(size.width - 1, 14, 3);
    frame.writeUIntLE(size.height - 1, 17, 3);
    // The difference of rounded moments, so that 83.3 ms a frame do not become a film that is 0.4 % too fast.
    frame.writeUIntLE(momentMs(index + 1, fps) - momentMs(index, fps), 20, 3);
    frame[23] = doNotBlend;
    chunks.push(frame, image);
  });
  return riff(chunks);
}

/** Takes apart what `writeAnimation` has joined; throws on anything else. */
export function readAnimation(bytes: Uint8Array): Animation {
  let size: { width: number; height: number } | undefined;
  const frames: Uint8Array[] = [];
  for (const { type, data } of chunksOf(bytes)) {
    if (type === "VP8X" && data.length >= 10) {
      size = { width: data.readUIntLE(4, 3) + 1, height: data.readUIntLE(7, 3) + 1 };
    } else if (type === "ANMF" && data.length > 16) {
      frames.push(riff([data.subarray(16)]));
    }
  }
  if (size === undefined || frames.length === 0) throw new Error("These bytes are not an animated WebP.");
  return { ...size, frames };
}

function momentMs(frame: number, fps: number): number {
  return Math.round((frame * 1000) / fps);
}

/** The chunk with the lossy image, padded to an even length. */
function imageChunk(still: Uint8Array): Buffer {
  for (const { type, whole } of chunksOf(still)) {
    if (type === "VP8 ") return whole;
  }
  throw new Error("A frame is not a still lossy WebP.");
}

function* chunksOf(bytes: Uint8Array): Generator<{ type: string; data: Buffer; whole: Buffer }> {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.toString("latin1", 0, 4) !== "RIFF" || file.toString("latin1", 8, 12) !== "WEBP") {
    throw new Error("These bytes are not a WebP.");
  }
  for (let offset = 12; offset + 8 <= file.length; ) {
    const length = file.readUInt32LE(offset + 4);
    const end = offset + 8 + length + (length % 2);
    if (end > file.length) throw new Error(`This WebP is cut off: it ends ${end - file.length} bytes too early.`);
    yield {
      type: file.toString("latin1", offset, offset + 4),
      data: file.subarray(offset + 8, offset + 8 + length),
      whole: file.subarray(offset, end),
    };
    offset = end;
  }
}

function riff(chunks: readonly Buffer[]): Uint8Array<ArrayBuffer> {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const file = Buffer.alloc(12 + length);
  file.write("RIFF", 0, "latin1");
  file.writeUInt32LE(4 + length, 4);
  file.write("WEBP", 8, "latin1");
  let offset = 12;
  for (const chunk of chunks) offset += chunk.copy(file, offset);
  return file;
}
