import { BlockList, isIP } from "node:net";
import type { ClientAddress } from "./client-address.ts";
import { type ForwardedHeaderName, forwardedHops } from "./forwarded-hops.ts";

export interface ProxiesOptions {
  /** Addresses, and networks like "10.0.0.0/8". */
  readonly trusted: readonly string[];
  /** The header by which they tell whom they speak for. Absent: by none. */
  readonly header?: ForwardedHeaderName;
}

/** Knows whose word counts about where calls come from. */
export class Proxies {
  readonly header: ForwardedHeaderName | undefined;
  readonly #trusted = new BlockList();

  constructor({ trusted, header }: ProxiesOptions) {
    for (const each of trusted) {
      const [address = "", prefix] = each.split("/");
      if (prefix === undefined) this.#trusted.addAddress(address, familyOf(address));
      else this.#trusted.addSubnet(address, Number(prefix), familyOf(address));
    }
    this.header = header;
  }

  isTrusted(address: string | undefined): boolean {
    return address !== undefined && isIP(address) !== 0 && this.#trusted.check(address, familyOf(address));
  }

  /**
   * The client of a call that a trusted proxy passes on: the last in the header who is no trusted proxy, since what comes
   * before is that client's own word. Undefined where the header does not tell.
   */
  clientOf(value: string | undefined): ClientAddress | undefined {
    if (this.header === undefined || value === undefined) return undefined;
    let client: ClientAddress | undefined;
    for (const hop of forwardedHops(this.header, value).toReversed()) {
      if (hop === undefined) break;
      client = hop;
      if (!this.isTrusted(hop.address)) break;
    }
    return client;
  }
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 6 ? "ipv6" : "ipv4";
}
