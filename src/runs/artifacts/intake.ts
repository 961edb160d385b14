import { createHash, type Hash } from "node:crypto";
import { ArtifactError, type ArtifactWrite } from "../ports/artifacts.ts";
import { type ContentRules, checkContent, checkPixels, headBytes, tiff } from "./content-check.ts";
import { PngInspection } from "./png-inspection.ts";
import { TiffSize } from "./tiff-size.ts";

/** What is known of an artifact once all of its bytes are there. */
export interface TakenIn {
  readonly sha256: Uint8Array;
  readonly size: number;
}

type IntakePlan = Pick<ArtifactWrite, "size" | "sha256" | "mediaType">;

/** What an artifact's bytes have to be. */
export interface IntakeRules {
  readonly maxBytes: number;
  /** Default: they are taken for what they are said to be. */
  readonly content?: ContentRules | undefined;
}

/** Counts and digests bytes as they come, and refuses those that are too many or not the announced ones. */
export class Intake {
  readonly #what: IntakePlan;
  readonly #maxBytes: number;
  readonly #content: ContentRules | undefined;
  /** The first bytes, until they have been looked at. */
  #head: Uint8Array[] | undefined;
  #headLength = 0;
  readonly #png: PngInspection | undefined;
  readonly #tiff: TiffSize | undefined;
  /** What its bytes are, once they have been looked at, if that is known. */
  #type: string | undefined;
  readonly #hash: Hash = createHash("sha256");
  #size = 0;

  /** @throws ArtifactError when the announced size is too large */
  constructor(what: IntakePlan, { maxBytes, content }: IntakeRules) {
    this.#what = what;
    this.#maxBytes = maxBytes;
    this.#content = content;
    this.#head = content && [];
    this.#png = content && new PngInspection(content.maxImagePixels);
    this.#tiff = content && new TiffSize();
    if ((what.size ?? 0) > maxBytes) {
      throw tooLarge(`${what.size} bytes are`, maxBytes);
    }
  }

  get size(): number {
    return this.#size;
  }

  /** @throws ArtifactError */
  add(chunk: Uint8Array): void {
    this.#size += chunk.length;
    const { size } = this.#what;
    if (size !== undefined && this.#size > size) {
      throw new ArtifactError("size", `more bytes came than the ${size} that were announced: nothing was stored`);
    }
    if (this.#size > this.#maxBytes) {
      throw tooLarge("this is", this.#maxBytes);
    }
    this.#hash.update(chunk);
    this.#tiff?.add(chunk);
    if (this.#head !== undefined && this.#headLength < headBytes) {
      const part = Uint8Array.from(chunk.subarray(0, headBytes - this.#headLength));
      this.#head.push(part);
      this.#headLength += part.length;
    }
  }

  /** Whether it may be an image that unpacks to more than it says: then each chunk is to be inspected too. */
  get inspects(): boolean {
    return this.#png?.over === false;
  }

  /** Looks into a chunk that has been added. @throws ArtifactError */
  async inspect(chunk: Uint8Array): Promise<void> {
    await this.#png?.add(chunk);
  }

  /** Nothing more will come. */
  close(): void {
    this.#png?.close();
  }

  /** Whether enough is there to look at what it is: then `check` is due. */
  get recognisable(): boolean {
    return this.#head !== undefined && this.#headLength === headBytes;
  }

  /** Looks at what it is, once. @throws ArtifactError */
  async check(): Promise<void> {
    const head = this.#head;
    if (head !== undefined && this.#content !== undefined) {
      this.#head = undefined;
      this.#type = await checkContent(Buffer.concat(head), this.#what.mediaType, this.#content);
    }
  }

  /** @throws ArtifactError */
  async finish(): Promise<TakenIn> {
    await this.check();
    if (this.#type === tiff && this.#content !== undefined) checkPixels(tiff, this.#tiff?.dimensions, this.#content);
    const { size, sha256 } = this.#what;
    if (size !== undefined && this.#size < size) {
      throw new ArtifactError("size", `only ${this.#size} bytes came of the ${size} that were announced`);
    }
    const digest = this.#hash.digest();
    const expected = typeof sha256 === "function" ? sha256() : sha256;
    if (expected !== undefined && digest.compare(expected) !== 0) {
      throw new ArtifactError(
        "digest",
        `the bytes have the SHA-256 ${digest.toString("hex")}, not the announced ` +
          `${Buffer.from(expected).toString("hex")}: nothing was stored; send them again from the beginning`,
      );
    }
    return { sha256: digest, size: this.#size };
  }
}

function tooLarge(what: string, maxBytes: number): ArtifactError {
  return new ArtifactError("too-large", `${what} more than the ${maxBytes} that a file may have (artifacts.max_bytes)`);
}
