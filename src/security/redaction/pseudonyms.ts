import { createHmac } from "node:crypto";

/** The kinds of data that say something about a person. */
export type PersonalKind = "email" | "phone" | "card" | "ip";

/** What stands in the place of personal data. */
export type Replace = (kind: PersonalKind, value: string) => string;

/** 64 bits: nobody's collides by chance, and nobody's can be computed without the key. */
const pseudonymBytes = 8;

/** Values that are remembered: the same few come again and again. */
const mostRemembered = 4_096;

/** Pseudonyms, as "email:3f9c0a…": the same for the same value under the same key. */
export function pseudonyms(key: Uint8Array): Replace {
  const known = new Map<string, string>();
  return (kind, value) => {
    const canonical = `${kind}:${canonicalForm(kind, value)}`;
    let pseudonym = known.get(canonical);
    if (pseudonym === undefined) {
      const digest = createHmac("sha256", key).update(canonical).digest("hex");
      pseudonym = `${kind}:${digest.slice(0, 2 * pseudonymBytes)}`;
      if (known.size >= mostRemembered) known.clear();
      known.set(canonical, pseudonym);
    }
    return pseudonym;
  };
}

/** Only the word for what was there. */
export const redacted: Replace = (kind) => `[${kind}]`;

/** However it is written, it is the same. */
function canonicalForm(kind: PersonalKind, value: string): string {
  switch (kind) {
    case "phone":
    case "card":
      return value.replace(/[^0-9+]/g, "");
    default:
      return value.toLowerCase();
  }
}
