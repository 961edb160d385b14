import type { Stretch } from "./find-cards.ts";

/** Each has the credential, and nothing else, as its group; each begins with something that does not repeat. */
const patterns: readonly RegExp[] = [
  // authorization: Bearer …, Basic …, and what follows "x-api-key".
  /\b(?:Bearer|Basic) +([A-Za-z0-9._~+/=-]{8,})/dgi,
  /\b(?:x-api-key|api[_-]?key|password|passwd|secret|access_token|refresh_token|client_secret)["']{0,2} ?[:=] ?["']{0,2}([^\s"',;&]{4,})/dgi,
  // JSON web tokens.
  /(?<![\w-])(eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*)/dg,
  // The keys of this service, and the secrets of its webhooks.
  /(?<![A-Za-z0-9])((?:rtk|retake)_[A-Za-z0-9_]{20,})/dg,
  /(?<![A-Za-z0-9])(whsec_[A-Za-z0-9+/=]{16,})/dg,
  // User information in a URL.
  /:\/\/([^\s/:@"]{0,256}:[^\s/@"]{1,256})@/dg,
  // Private keys, with their line breaks as they are or escaped.
  /-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----([A-Za-z0-9+/=\s\\]+)/dg,
];

const hints =
  /[Bb]earer|[Bb]asic|BEARER|BASIC|key|KEY|Key|pass|PASS|Pass|secret|SECRET|Secret|token|eyJ|rtk_|retake_|whsec_|:\/\/|PRIVATE/;

/** Credentials, by what stands before them or by their own form. */
export function findCredentials(text: string): Stretch[] {
  if (!hints.test(text)) return [];
  const found: Stretch[] = [];
  for (const pattern of patterns) {
    for (const { indices } of text.matchAll(pattern)) {
      const group = indices?.[1];
      if (group !== undefined) found.push({ start: group[0], end: group[1] });
    }
  }
  return found;
}
