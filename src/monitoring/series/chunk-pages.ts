/** A page holds what many series close at about the same time, so it is let go as a whole when they forget it. */
const pageBytes = 256 * 1024;

/** Copies small byte arrays into large ones, because each array of its own costs more than what is in it. */
export class ChunkPages {
  #page = new Uint8Array(0);
  #used = 0;

  copy(bytes: Uint8Array): Uint8Array {
    if (this.#used + bytes.length > this.#page.length) {
      this.#page = new Uint8Array(Math.max(pageBytes, bytes.length));
      this.#used = 0;
    }
    const place = this.#page.subarray(this.#used, this.#used + bytes.length);
    place.set(bytes);
    this.#used += bytes.length;
    return place;
  }
}
