import { Code, type ConnectError } from "@connectrpc/connect";
import type { Clock } from "../../clock.ts";

export interface TokenStandingOptions {
  readonly clock: Pick<Clock, "now">;
  /** When it expires. */
  readonly untilMs: number;
  /** How often the keys of its issuer have changed, and had when it was verified. */
  readonly changes: () => number;
  readonly verifiedAt: number;
  /** Verifies it by the keys that its issuer has now. Rejects with UNAUTHENTICATED where it is refused. */
  readonly verify: () => Promise<unknown>;
}

/**
 * Whether a token that was verified still holds. Where the keys of its issuer have changed since, that is found out when
 * somebody asks, and until it is known the token counts for what it was: a rotation must not end what goes on.
 */
export class TokenStanding {
  readonly #options: TokenStandingOptions;
  #verifiedAt: number;
  #verifying = false;
  #refused = false;

  constructor(options: TokenStandingOptions) {
    this.#options = options;
    this.#verifiedAt = options.verifiedAt;
  }

  readonly isCurrent = (): boolean => {
    const { clock, untilMs, changes } = this.#options;
    if (this.#refused || clock.now() >= untilMs) return false;
    if (changes() !== this.#verifiedAt && !this.#verifying) void this.#verifyAgain(changes());
    return true;
  };

  async #verifyAgain(changes: number): Promise<void> {
    this.#verifying = true;
    try {
      await this.#options.verify();
      this.#verifiedAt = changes;
    } catch (error) {
      // Anything else, as an issuer that is away, tells nothing: the next look asks again.
      this.#refused = (error as ConnectError).code === Code.Unauthenticated;
    } finally {
      this.#verifying = false;
    }
  }
}
