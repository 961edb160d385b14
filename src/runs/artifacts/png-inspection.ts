import { promisify } from "node:util";
import { inflate } from "node:zlib";
import { ArtifactError } from "../ports/artifacts.ts";
import { BoundedInflate } from "./bounded-inflate.ts";
import { type PngHeader, pngImageBytes, readPngHeader } from "./png-size.ts";

const signature = Buffer.from("89504e470d0a1a0a", "hex");

/** Of what is compressed beside the pixels: colour profiles and texts, all together, as it is stored and as it was. */
const mostStoredBytes = 4 * 1024 * 1024;
const mostTextBytes = 16 * 1024 * 1024;

/** Some encoders write a little more than there are pixels. */
const slackBytes = 64 * 1024;

/** A length and a type are before the data of a chunk, a checksum is behind it. */
const chunkHeadBytes = 8;
const checksumBytes = 4;

/** Chunks that are read at once, by the bytes that are needed of them. */
const collected: Readonly<Record<string, number>> = {
  IHDR: 13,
  fcTL: 26,
  iCCP: mostStoredBytes,
  zTXt: mostStoredBytes,
  iTXt: mostStoredBytes,
};

interface Chunk {
  readonly type: string;
  /** Of its data, yet to come. */
  left: number;
  /** Of its data, not to be looked at. */
  skip: number;
  readonly parts: Uint8Array[];
  length: number;
}

const inflated = promisify<Uint8Array, { maxOutputLength: number }, Buffer>(inflate);

/**
 * Reads a PNG as it comes, to refuse one that unpacks to more than its header says: a small file that fills the memory of
 * whoever decodes it. Nothing is kept of it. Other files, and what is broken, are not its concern.
 */
export class PngInspection {
  readonly #maxImagePixels: number;
  #state: "signature" | "head" | "data" | "checksum" | "over" = "signature";
  /** Of the signature, a chunk's head or its checksum. */
  #rest = Buffer.alloc(0);
  #chunk: Chunk | undefined;
  #header: PngHeader | undefined;
  #image: BoundedInflate | undefined;
  #textBytes = 0;

  constructor(maxImagePixels: number) {
    this.#maxImagePixels = maxImagePixels;
  }

  /** Whether there is nothing more to see. */
  get over(): boolean {
    return this.#state === "over";
  }

  /** @throws ArtifactError "content" */
  async add(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length && !this.over; ) {
      at += this.#state === "data" ? await this.#readData(bytes.subarray(at)) : this.#readFrame(bytes.subarray(at));
    }
  }

  close(): void {
    this.#state = "over";
    this.#image?.close();
    this.#image = undefined;
  }

  #readFrame(bytes: Uint8Array): number {
    const wanted = this.#state === "checksum" ? checksumBytes : chunkHeadBytes;
    const taken = Math.min(wanted - this.#rest.length, bytes.length);
    this.#rest = Buffer.concat([this.#rest, bytes.subarray(0, taken)]);
    if (this.#rest.length < wanted) return taken;
    const read = this.#rest;
    this.#rest = Buffer.alloc(0);
    if (this.#state === "signature") {
      if (read.equals(signature)) this.#state = "head";
      else this.close();
    } else if (this.#state === "head") {
      this.#begin(read.readUInt32BE(0), read.toString("latin1", 4));
    } else if (this.#chunk?.type === "IEND") {
      this.close();
    } else {
      this.#state = "head";
    }
    return taken;
  }

  #begin(length: number, type: string): void {
    this.#chunk = { type, left: length, skip: type === "fdAT" ? 4 : 0, parts: [], length: 0 };
    this.#state = length === 0 ? "checksum" : "data";
    const isText = type === "iCCP" || type === "zTXt" || type === "iTXt";
    if (isText && length > mostStoredBytes) throw tooMuch(`its ${type} is ${length} bytes`, mostStoredBytes);
    // The pixels of another frame.
    if (type === "fcTL") this.#endImage();
  }

  async #readData(bytes: Uint8Array): Promise<number> {
    const chunk = this.#chunk;
    if (chunk === undefined) return bytes.length;
    const taken = bytes.subarray(0, chunk.left);
    chunk.left -= taken.length;
    if (chunk.left === 0) this.#state = "checksum";
    const skipped = Math.min(chunk.skip, taken.length);
    chunk.skip -= skipped;
    const data = taken.subarray(skipped);
    if (chunk.type === "IDAT" || chunk.type === "fdAT") {
      await this.#inflateImage(data);
    } else {
      const wanted = (collected[chunk.type] ?? 0) - chunk.length;
      if (wanted > 0) {
        const part = Uint8Array.from(data.subarray(0, wanted));
        chunk.parts.push(part);
        chunk.length += part.length;
      }
      if (chunk.left === 0) await this.#end(chunk.type, Buffer.concat(chunk.parts));
    }
    return taken.length;
  }

  async #end(type: string, data: Buffer): Promise<void> {
    switch (type) {
      case "IHDR":
        this.#header = readPngHeader(data);
        // What has too many pixels is refused for that.
        if (this.#header === undefined || this.#header.width * this.#header.height > this.#maxImagePixels) this.close();
        return;
      case "fcTL":
        if (this.#header === undefined || data.length < 12) return this.close();
        this.#beginImage({ ...this.#header, width: data.readUInt32BE(4), height: data.readUInt32BE(8) });
        return;
      case "iCCP":
      case "zTXt":
      case "iTXt": {
        const compressed = compressedText(type, data);
        if (compressed !== undefined) await this.#inflateText(type, compressed);
      }
    }
  }

  #beginImage(header: PngHeader): void {
    if (header.width * header.height > this.#maxImagePixels) {
      throw tooMuch(`a frame of it has ${header.width} x ${header.height} pixels`, this.#maxImagePixels);
    }
    this.#image = new BoundedInflate(pngImageBytes(header) + slackBytes);
  }

  #endImage(): void {
    this.#image?.close();
    this.#image = undefined;
  }

  async #inflateImage(data: Uint8Array): Promise<void> {
    if (this.#header === undefined) return this.close();
    if (this.#image === undefined) this.#beginImage(this.#header);
    await this.#image?.write(data);
    if (this.#image?.exceeded === true) {
      const { width, height } = this.#header;
      throw new ArtifactError(
        "content",
        `this image unpacks to more than the ${width} x ${height} pixels that its header says: whoever decoded it would run out of memory`,
      );
    }
  }

  async #inflateText(type: string, compressed: Uint8Array): Promise<void> {
    const left = mostTextBytes - this.#textBytes;
    try {
      this.#textBytes += (await inflated(compressed, { maxOutputLength: left })).length;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ERR_BUFFER_TOO_LARGE") throw tooMuch(`its ${type} unpacks to too many bytes`, mostTextBytes);
      // Broken, so that nobody unpacks it.
    }
  }
}

/** What is compressed of a colour profile or a text: it stands behind its name. */
function compressedText(type: "iCCP" | "zTXt" | "iTXt", data: Buffer): Uint8Array | undefined {
  const name = data.indexOf(0);
  if (name < 0) return undefined;
  if (type !== "iTXt") return data.subarray(name + 2);
  const language = data.indexOf(0, name + 3);
  const keyword = language < 0 ? -1 : data.indexOf(0, language + 1);
  return data[name + 1] === 1 && keyword >= 0 ? data.subarray(keyword + 1) : undefined;
}

function tooMuch(what: string, most: number): ArtifactError {
  return new ArtifactError("content", `this PNG is not taken: ${what}, and ${most} are the most that one may have`);
}
