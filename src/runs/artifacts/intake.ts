import { createHash, type Hash } from "node:crypto";
import { ArtifactError, type ArtifactWrite } from "../ports/artifacts.ts";

/** What is known of an artifact once all of its bytes are there. */
export interface TakenIn {
  readonly sha256: Uint8Array;
  readonly size: number;
}

/** Counts and digests bytes as they come, and refuses those that are too many or not the announced ones. */
export class Intake {
  readonly #what: Pick<ArtifactWrite, "size" | "sha256">;
  readonly #maxBytes: number;
  readonly #hash: Hash = createHash("sha256");
  #size = 0;

  /** @throws ArtifactError when the announced size is too large */
  constructor(what: Pick<ArtifactWrite, "size" | "sha256">, maxBytes: number) {
    this.#what = what;
    this.#maxBytes = maxBytes;
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
  }

  /** @throws ArtifactError */
  finish(): TakenIn {
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
