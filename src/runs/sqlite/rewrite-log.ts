import { closeSync, fdatasyncSync, openSync, readSync, writeSync } from "node:fs";

/** The log does not hold what SQLite believes to have written to it. */
export class LogLostError extends Error {
  override readonly name = "LogLostError";
}

const headerBytes = 32;
const frameHeaderBytes = 24;
const portionBytes = 1024 * 1024;

/**
 * Makes the write-ahead log durable after a failed sync. The system has then given up some pages: they count as written,
 * and what it answers for them may be old or zeros, depending on the file system; syncing or reading again proves
 * nothing. So every frame is checked against the log's own chain of checksums (https://sqlite.org/walformat.html) and
 * written again, which makes its pages wait for the disk once more, and then synced.
 *
 * @param frames how many frames the log has
 * @throws LogLostError when one of them is not what was written
 */
export function rewriteLog(path: string, frames: number): void {
  if (frames === 0) {
    return;
  }
  const file = openSync(path, "r+");
  try {
    const header = Buffer.alloc(headerBytes);
    readFully(file, header, 0);
    const magic = header.readUInt32BE(0);
    const littleEndian = magic === 0x377f0682;
    if (!littleEndian && magic !== 0x377f0683) {
      throw lost(0, frames);
    }
    const sums = new Checksum(littleEndian);
    sums.add(header, 0, 24);
    if (!sums.equals(header, 24)) {
      throw lost(0, frames);
    }
    const frameBytes = frameHeaderBytes + header.readUInt32BE(8);
    const framesAtOnce = Math.max(1, Math.floor(portionBytes / frameBytes));
    writeFully(file, header, 0);
    for (let first = 0; first < frames; first += framesAtOnce) {
      const portion = Buffer.alloc(Math.min(framesAtOnce, frames - first) * frameBytes);
      const position = headerBytes + first * frameBytes;
      readFully(file, portion, position);
      for (let start = 0; start < portion.length; start += frameBytes) {
        sums.add(portion, start, 8);
        sums.add(portion, start + frameHeaderBytes, frameBytes - frameHeaderBytes);
        // A frame of an earlier log fails too: the chain begins with this log's header, which has salts of its own.
        if (!sums.equals(portion, start + 16)) {
          throw lost(first + start / frameBytes, frames);
        }
      }
      writeFully(file, portion, position);
    }
    fdatasyncSync(file);
  } finally {
    closeSync(file);
  }
}

function lost(intact: number, frames: number): LogLostError {
  return new LogLostError(`of ${frames} frames of the write-ahead log only the first ${intact} are intact`);
}

/** The log's checksum, which goes on from frame to frame. */
class Checksum {
  readonly #littleEndian: boolean;
  #first = 0;
  #second = 0;

  constructor(littleEndian: boolean) {
    this.#littleEndian = littleEndian;
  }

  add(bytes: Buffer, start: number, length: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset + start, length);
    for (let offset = 0; offset < length; offset += 8) {
      this.#first = (this.#first + view.getUint32(offset, this.#littleEndian) + this.#second) >>> 0;
      this.#second = (this.#second + view.getUint32(offset + 4, this.#littleEndian) + this.#first) >>> 0;
    }
  }

  equals(bytes: Buffer, offset: number): boolean {
    return bytes.readUInt32BE(offset) === this.#first && bytes.readUInt32BE(offset + 4) === this.#second;
  }
}

/** What is missing at the end of the file stays zero, and fails its checksum. */
function readFully(file: number, into: Buffer, position: number): void {
  for (let done = 0; done < into.length; ) {
    const count = readSync(file, into, done, into.length - done, position + done);
    if (count === 0) {
      return;
    }
    done += count;
  }
}

function writeFully(file: number, from: Buffer, position: number): void {
  for (let done = 0; done < from.length; ) {
    done += writeSync(file, from, done, from.length - done, position + done);
  }
}
