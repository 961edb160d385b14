import { isIPv6, SocketAddress } from "node:net";

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

/** Version 2, for a client. */
export function binaryPreamble(address: string, port: number, more: Buffer = Buffer.alloc(0)): Buffer {
  const six = isIPv6(address);
  const from = six ? bytes6(address) : Buffer.from(address.split(".").map(Number));
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(port, 0);
  ports.writeUInt16BE(443, 2);
  const body = Buffer.concat([from, Buffer.alloc(from.length, 1), ports, more]);
  const head = Buffer.from([0x21, six ? 0x21 : 0x11, 0, 0]);
  head.writeUInt16BE(body.length, 2);
  return Buffer.concat([signature, head, body]);
}

/** Version 2, for the proxy itself. */
export const localPreamble = Buffer.concat([signature, Buffer.from([0x20, 0, 0, 0])]);

function bytes6(address: string): Buffer {
  const mapped = /^::ffff:(\d+(?:\.\d+){3})$/.exec(address)?.[1];
  if (mapped !== undefined) {
    return Buffer.concat([Buffer.alloc(10), Buffer.from([0xff, 0xff, ...mapped.split(".").map(Number)])]);
  }
  const [head = "", tail = ""] = new SocketAddress({ address, family: "ipv6" }).address.split("::", 2);
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const zeros = Array<string>(8 - groups(head).length - groups(tail).length).fill("0");
  const bytes = Buffer.alloc(16);
  [...groups(head), ...zeros, ...groups(tail)].forEach((group, index) => {
    bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  });
  return bytes;
}
