import type { CompactJWSHeaderParameters, CryptoKey, FlattenedJWSInput } from "jose";

/**
 * Finds the key for a token; where it is unknown, after looking for new ones.
 *
 * @throws JWKSNoMatchingKey when the issuer has no such key; ConnectError UNAVAILABLE when that cannot be told now
 */
export type FindKey = (header: CompactJWSHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey>;

/** The keys of an issuer, as they are now. */
export interface Keys {
  readonly find: FindKey;
  /** Called when keys have come or gone. */
  onChange: () => void;
  /** Looks at once whether they have changed, where that costs nothing. */
  check(): void;
  close(): void;
}
