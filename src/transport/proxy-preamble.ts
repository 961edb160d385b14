import { SocketAddress } from "node:net";
import { type ClientAddress, canonicalAddress } from "./client-address.ts";

/** What the first bytes of a connection are by the PROXY protocol. */
export type Preamble =
  | { readonly kind: "incomplete" }
  | { readonly kind: "wrong"; readonly problem: string }
  /** `client` is absent where the proxy speaks for itself, as its health checks do. */
  | { readonly kind: "complete"; readonly bytes: number; readonly client?: ClientAddress };

/** Of a preamble: addresses take 232 at most, and what else proxies add is some certificate. */
export const mostPreambleBytes = 16 * 1024;

/** Whom a proxy does not tell: no address, so that nobody takes it for a proxy's, whose word would count. */
const unknownClient: ClientAddress = { address: "unknown", port: 0 };

const signature2 = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const signature1 = Buffer.from("PROXY ", "latin1");

/** The longest line of version 1, with its end. */
const longestLine = 107;

const incomplete: Preamble = { kind: "incomplete" };

/** Reads a preamble of either version, by HAProxy's proxy-protocol.txt. */
export function parsePreamble(bytes: Buffer): Preamble {
  if (startsAs(bytes, signature2)) return bytes.length < 16 ? incomplete : parseBinary(bytes);
  if (startsAs(bytes, signature1)) return bytes.length < signature1.length ? incomplete : parseLine(bytes);
  return wrong("it begins as no PROXY protocol does");
}

function wrong(problem: string): Preamble {
  return { kind: "wrong", problem };
}

function startsAs(bytes: Buffer, signature: Buffer): boolean {
  const length = Math.min(bytes.length, signature.length);
  return bytes.subarray(0, length).equals(signature.subarray(0, length));
}

function parseLine(bytes: Buffer): Preamble {
  const text = bytes.toString("latin1", 0, longestLine);
  const end = text.indexOf("\r\n");
  if (end < 0) return bytes.length < longestLine ? incomplete : wrong(`its line has more than ${longestLine} bytes`);
  const [, protocol, from = "", to = "", fromPort = "", toPort = "", ...rest] = text.slice(0, end).split(" ");
  const complete = { kind: "complete", bytes: end + 2 } as const;
  // Whatever follows is to be ignored.
  if (protocol === "UNKNOWN") return { ...complete, client: unknownClient };
  const isOfFamily = (address: string): boolean =>
    (protocol === "TCP4" && !address.includes(":")) || (protocol === "TCP6" && address.includes(":"));
  const address = canonicalAddress(from);
  const sound =
    address !== undefined &&
    canonicalAddress(to) !== undefined &&
    [from, to].every(isOfFamily) &&
    [fromPort, toPort].every(isPort) &&
    rest.length === 0;
  return sound
    ? { ...complete, client: { address, port: Number(fromPort) } }
    : wrong("its line is not as version 1 has it");
}

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
}

/** The command: for itself, or for a client. */
const local = 0x20;
const proxied = 0x21;

const tcp4 = 0x11;
const tcp6 = 0x21;

/** Nothing that is told, and a socket's path: no network. */
const unspecified = 0x00;
const unixStream = 0x31;

function parseBinary(bytes: Buffer): Preamble {
  const command = bytes[12];
  const family = bytes[13];
  const size = 16 + bytes.readUInt16BE(14);
  if (command !== local && command !== proxied) return wrong("its version or command is none that there is");
  if (size > mostPreambleBytes) return wrong(`it has more than ${mostPreambleBytes} bytes`);
  if (bytes.length < size) return incomplete;
  const complete = { kind: "complete", bytes: size } as const;
  // Whatever follows is to be ignored.
  if (command === local) return complete;
  if (family === unspecified || family === unixStream) return { ...complete, client: unknownClient };
  if (family === tcp4) {
    if (size < 16 + 12) return wrong("it is too short for its addresses");
    return { ...complete, client: { address: bytes.subarray(16, 20).join("."), port: bytes.readUInt16BE(24) } };
  }
  if (family !== tcp6) return wrong("it is about no TCP");
  if (size < 16 + 36) return wrong("it is too short for its addresses");
  return { ...complete, client: { address: address6(bytes.subarray(16, 32)), port: bytes.readUInt16BE(48) } };
}

function address6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  return new SocketAddress({ address: groups.join(":"), family: "ipv6" }).address;
}
