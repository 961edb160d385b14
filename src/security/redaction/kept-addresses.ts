import { BlockList, isIP } from "node:net";

/** Addresses that are nobody's. */
export interface KeptAddresses {
  has(address: string): boolean;
}

/** This machine's own, and "all of them", which a server listens on. */
const nobodys = ["127.0.0.0/8", "::1", "0.0.0.0", "::"];

/** @param more addresses, and networks like "10.0.0.0/8" */
export function keptAddresses(more: readonly string[] = []): KeptAddresses {
  const list = new BlockList();
  for (const each of [...nobodys, ...more]) {
    const [address = "", prefix] = each.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return {
    has: (address) => list.check(address, isIP(address) === 6 ? "ipv6" : "ipv4"),
  };
}
