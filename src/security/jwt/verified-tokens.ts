import type { Principal } from "../principal.ts";

interface Entry {
  readonly principal: Principal;
  readonly issuer: string;
  readonly untilMs: number;
}

/** In tokens, and in characters of them all. */
const mostTokens = 10_000;
const mostCharacters = 16 * 1024 * 1024;

/** Tokens that have been verified, until they expire. The oldest give way. */
export class VerifiedTokens {
  readonly #entries = new Map<string, Entry>();
  #characters = 0;

  /** Who is behind a token that is known and has not expired. */
  get(token: string, nowMs: number): Principal | undefined {
    const entry = this.#entries.get(token);
    if (entry === undefined) return undefined;
    if (nowMs < entry.untilMs) return entry.principal;
    this.#remove(token);
    return undefined;
  }

  add(token: string, entry: Entry): void {
    this.#remove(token);
    this.#entries.set(token, entry);
    this.#characters += token.length;
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= mostTokens && this.#characters <= mostCharacters) break;
      this.#remove(oldest);
    }
  }

  /** Forgets an issuer's: one of its keys may be gone. */
  removeAll(issuer: string): void {
    for (const [token, entry] of this.#entries) {
      if (entry.issuer === issuer) this.#remove(token);
    }
  }

  #remove(token: string): void {
    if (this.#entries.delete(token)) this.#characters -= token.length;
  }
}
