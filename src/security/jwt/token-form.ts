/** Longer ones are nobody's: headers of HTTP have 16 KiB in all. */
const longestToken = 16 * 1024;

/** Whether it looks like a signed JSON Web Token; what else comes as a bearer is somebody else's. */
export function isToken(bearer: string): boolean {
  return bearer.length <= longestToken && /^eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/.test(bearer);
}

/** Whose it says it is, before anything of it is verified. */
export function claimedIssuer(token: string): string | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split(".", 2)[1] ?? "", "base64url").toString());
    const issuer = (claims as { iss?: unknown } | null)?.iss;
    return typeof issuer === "string" ? issuer : undefined;
  } catch {
    return undefined;
  }
}
