import type { Stretch } from "./find-cards.ts";

/** As the standard has it: 64 characters before the "@", 255 behind it. */
const mostLocal = 64;
const mostDomain = 255;

const localCharacter = /[\p{L}\p{N}.!#$%&'*+=^_`{|}~-]/u;
const domainCharacter = /[\p{L}\p{N}.-]/u;

/**
 * E-mail addresses. Looks around each "@", no further than an address can reach, so that it takes linear time whatever the
 * text is.
 */
export function findEmails(text: string): Stretch[] {
  const found: Stretch[] = [];
  let from = 0;
  for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", at + 1)) {
    let start = at;
    while (start > from && at - start < mostLocal && localCharacter.test(text[start - 1] ?? "")) start--;
    let end = at + 1;
    while (end < text.length && end - at <= mostDomain && domainCharacter.test(text[end] ?? "")) end++;
    while (end > at + 1 && (text[end - 1] === "." || text[end - 1] === "-")) end--;
    const domain = text.slice(at + 1, end);
    if (start < at && /^[^.]+(?:\.[^.]+)+$/.test(domain)) {
      found.push({ start, end });
      from = end;
    }
  }
  return found;
}
