import { isIPv4, isIPv6 } from "node:net";
import type { Stretch } from "./find-cards.ts";

const ipv4 = /(?<![\w.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w]|\.\d)/g;
/** Whatever could be one; what is one is decided by Node. */
const ipv6 = /(?<![\w:.])[0-9A-Fa-f:]{2,39}(?:\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])/g;

/** IP addresses of both kinds. */
export function findAddresses(text: string): Stretch[] {
  const found: Stretch[] = [];
  if (text.includes(":")) {
    for (const { 0: match, index } of text.matchAll(ipv6)) {
      // An address may have a colon behind it that is punctuation.
      const address = match.endsWith(":") && !match.endsWith("::") ? match.slice(0, -1) : match;
      if (looksLikeOne(address) && isIPv6(address)) {
        found.push({ start: index, end: index + address.length });
      }
    }
  }
  if (text.includes(".")) {
    for (const { 0: match, index } of text.matchAll(ipv4)) {
      if (isIPv4(match)) found.push({ start: index, end: index + match.length });
    }
    // Within an IPv6 address: "::ffff:192.0.2.1".
    for (const { 1: match = "", index } of text.matchAll(
      /::ffff:(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})(?![\w]|\.\d)/gi,
    )) {
      if (isIPv4(match)) found.push({ start: index, end: index + 7 + match.length });
    }
  }
  return found;
}

/** Names of things are joined by colons too: "a::b". */
function looksLikeOne(address: string): boolean {
  const colons = address.split(":").length - 1;
  return colons > 2 || (colons === 2 && /\d/.test(address));
}
