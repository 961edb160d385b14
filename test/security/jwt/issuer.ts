import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";

export interface IssuerKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

export interface TokenInit {
  readonly key: IssuerKey;
  readonly claims?: Record<string, unknown>;
  readonly header?: Record<string, unknown>;
}

export async function createKey(
  alg = "ES256",
  options: { readonly kid?: string | undefined } = {},
): Promise<IssuerKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(publicKey);
  const kid = options.kid ?? (await calculateJwkThumbprint(jwk));
  return { kid, alg, privateKey, jwk: { ...jwk, alg, use: "sig", kid } };
}

/** A token; what is undefined among claims and header is left out. */
export function sign({ key, claims = {}, header = {} }: TokenInit): Promise<string> {
  const protectedHeader = { alg: key.alg, kid: key.kid, ...header };
  return new SignJWT(claims)
    .setProtectedHeader(JSON.parse(JSON.stringify(protectedHeader)))
    .sign(key.privateKey, { crit: { "urn:test": true } });
}
