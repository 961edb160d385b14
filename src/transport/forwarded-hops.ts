import { type ClientAddress, canonicalAddress } from "./client-address.ts";

export type ForwardedHeaderName = "x-forwarded-for" | "forwarded";

/** A hop that says nothing, like "unknown", is undefined. */
export type Hop = ClientAddress | undefined;

/** Who has passed a call on, as the header of proxies tells it: the last ones, in their order. */
export function forwardedHops(header: ForwardedHeaderName, value: string): readonly Hop[] {
  if (header === "x-forwarded-for") return lastParts(value).map((hop) => parseNode(hop.trim()));
  return lastNodes(value).map((node) => (node === undefined ? undefined : parseNode(unquoted(node))));
}

/** As many are followed: no real call has passed more. */
const mostHops = 32;

/** From the end: what does not count, 16 KB of commas as well, must cost nothing before it is known who calls. */
function lastParts(value: string): readonly string[] {
  const parts: string[] = [];
  let end = value.length;
  while (parts.length < mostHops && end >= 0) {
    const comma = end === 0 ? -1 : value.lastIndexOf(",", end - 1);
    parts.push(value.slice(comma + 1, end));
    end = comma;
  }
  return parts.reverse();
}

/**
 * Where a client has sent what cannot be read, the proxy's own word is behind the last comma still. Were it within what a
 * proxy quotes, a quote would be left over there, which cannot be read either.
 */
function lastNodes(value: string): readonly (string | undefined)[] {
  const nodes = nodesOfForwarded(value) ?? nodesOfForwarded(value.slice(value.lastIndexOf(",") + 1)) ?? [];
  return nodes.slice(-mostHops);
}

/** RFC 7239, section 4: a name, and a token or quoted text. What it ends with goes with it. */
const pair = /[ \t]*([!#$%&'*+.^_`|~\w-]+)=("(?:[^"\\]|\\.)*"|[!#$%&'*+.^_`|~\w-]+)[ \t]*(;|,|$)/y;

/** Lists may have elements with nothing in them, which nobody has added. */
const nothing = /[ \t,]*/y;

/** For each element whom it is for; undefined where not all can be read: half of it may be what a client has made up. */
function nodesOfForwarded(value: string): readonly (string | undefined)[] | undefined {
  const nodes: (string | undefined)[] = [];
  let node: string | undefined;
  let from = after(nothing, value, 0);
  while (from < value.length) {
    pair.lastIndex = from;
    const found = pair.exec(value);
    if (found === null) return undefined;
    const [, name = "", text = "", end] = found;
    if (name.toLowerCase() === "for") node = text;
    from = pair.lastIndex;
    if (end === ";") continue;
    nodes.push(node);
    node = undefined;
    from = after(nothing, value, from);
  }
  return nodes;
}

function after(pattern: RegExp, value: string, from: number): number {
  pattern.lastIndex = from;
  pattern.exec(value);
  return pattern.lastIndex;
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
