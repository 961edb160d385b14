/** Up to so many are looked through: a set has to keep a string for each, and most attempts name a few. */
const mostListed = 16;

/** Names that have been taken. */
export class NameSet {
  readonly #listed: string[] = [];
  #set: Set<string> | undefined;

  /** Takes a name; false when it is taken already. */
  take(name: string): boolean {
    if (this.#set !== undefined) {
      return !this.#set.has(name) && this.#set.add(name) !== undefined;
    }
    if (this.#listed.includes(name)) {
      return false;
    }
    this.#listed.push(name);
    if (this.#listed.length > mostListed) {
      this.#set = new Set(this.#listed);
    }
    return true;
  }
}
