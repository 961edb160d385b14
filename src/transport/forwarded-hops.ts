import { type ClientAddress, canonicalAddress } from "./client-address.ts";

export type ForwardedHeaderName = "x-forwarded-for" | "forwarded";

/** A hop that says nothing, like "unknown", is undefined. */
export type Hop = ClientAddress | undefined;

/** Who has passed a call on, as the header of proxies tells it, the first one first. Empty for one that cannot be read. */
export function forwardedHops(header: ForwardedHeaderName, value: string): readonly Hop[] {
  return header === "forwarded" ? hopsOfForwarded(value) : value.split(",").map((hop) => parseNode(hop.trim()));
}

/** RFC 7239, section 4: a name, and a token or quoted text. What it ends with goes with it. */
const pair = /[ \t]*([!#$%&'*+.^_`|~\w-]+)=("(?:[^"\\]|\\.)*"|[!#$%&'*+.^_`|~\w-]+)[ \t]*(;|,|$)/y;

function hopsOfForwarded(value: string): readonly Hop[] {
  const hops: Hop[] = [];
  let hop: Hop;
  pair.lastIndex = 0;
  while (pair.lastIndex < value.length) {
    const found = pair.exec(value);
    // Half of what could be read may be what a client has made up.
    if (found === null) return [];
    const [, name = "", text = "", end] = found;
    if (name.toLowerCase() === "for") hop = parseNode(unquoted(text));
    if (end !== ";") {
      hops.push(hop);
      hop = undefined;
    }
  }
  return hops;
}

function unquoted(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
}

/** An address, of IPv6 in brackets where a port follows. */
function parseNode(node: string): Hop {
  const plain = canonicalAddress(node);
  if (plain !== undefined) return { address: plain, port: 0 };
  const [, six, four = "", port = "0"] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(node) ?? [];
  const address = canonicalAddress(six ?? four);
  return address === undefined || Number(port) > 65_535 ? undefined : { address, port: Number(port) };
}
