import { isIP, SocketAddress } from "node:net";

/** Where somebody connects from. */
export interface ClientAddress {
  readonly address: string;
  /** 0 where nobody tells it. */
  readonly port: number;
}

/** The address as Node writes those of its sockets; undefined where it is none. */
export function canonicalAddress(text: string): string | undefined {
  const version = isIP(text);
  // Zones are names of a machine's own links: others have no word for them.
  if (version === 0 || text.includes("%")) return undefined;
  return version === 4 ? text : new SocketAddress({ address: text, family: "ipv6" }).address;
}

/** `host:port`, as peers are told apart. */
export function peerName({ address, port }: ClientAddress): string {
  return `${address}:${port}`;
}
