import { describe, expect, it } from "vitest";
import { mostPreambleBytes, parsePreamble } from "../../src/transport/proxy-preamble.ts";
import { binaryPreamble, localPreamble } from "./preambles.ts";

const line = (text: string): Buffer => Buffer.from(text, "latin1");

const ip4 = "PROXY TCP4 203.0.113.7 198.51.100.1 51234 443\r\n";
const ip6 = "PROXY TCP6 2001:DB8::7 2001:db8::1 51234 443\r\n";
const binary4 = binaryPreamble("203.0.113.7", 51_234);
const binary6 = binaryPreamble("2001:db8::7", 51_234);
const extended = binaryPreamble("203.0.113.7", 51_234, Buffer.from([0x04, 0, 5, 1, 2, 3, 4, 5]));

const client4 = { address: "203.0.113.7", port: 51_234 };
const unknown = { address: "unknown", port: 0 };
const client6 = { address: "2001:db8::7", port: 51_234 };

describe("a preamble of the PROXY protocol", () => {
  it.each([
    ["version 1, IPv4", line(ip4), client4],
    ["version 1, IPv6", line(ip6), client6],
    ["version 1, unknown", line("PROXY UNKNOWN ffff:: whatever 1 2\r\n"), unknown],
    ["version 2, IPv4", binary4, client4],
    ["version 2, IPv6", binary6, client6],
    ["version 2, mapped IPv4", binaryPreamble("::ffff:203.0.113.7", 1), { address: "::ffff:203.0.113.7", port: 1 }],
    ["version 2, with what else proxies tell", extended, client4],
    ["version 2, for the proxy itself", localPreamble, undefined],
    ["version 2, for itself and yet with addresses", withByte(binary4, 12, 0x20), undefined],
    ["version 2, of a socket without a network", withByte(binary4, 13, 0x31), unknown],
    ["version 2, that does not say", withByte(binary4, 13, 0x00), unknown],
  ])("is read, however it arrives: %s", (_, bytes, client) => {
    const whole = { kind: "complete", bytes: bytes.length, ...(client && { client }) };
    expect(parsePreamble(bytes)).toEqual(whole);
    expect(parsePreamble(Buffer.concat([bytes, line("PRI * HTTP/2.0\r\n")]))).toEqual(whole);
    for (let length = 0; length < bytes.length; length++) {
      expect(parsePreamble(bytes.subarray(0, length))).toEqual({ kind: "incomplete" });
    }
  });

  it.each([
    ["none", line("GET / HTTP/1.1\r\n")],
    ["one in small letters", line(ip4.toLowerCase())],
    ["a line without an end", line(`PROXY UNKNOWN ${"x".repeat(107)}`)],
    ["another protocol", line(ip4.replace("TCP4", "UDP4"))],
    ["the wrong family", line(ip4.replace("TCP4", "TCP6"))],
    ["two families", line(ip4.replace("198.51.100.1", "::1"))],
    ["no address", line(ip4.replace("203.0.113.7", "203.0.113.256"))],
    ["an address with zeros before", line(ip4.replace("203.0.113.7", "203.0.113.07"))],
    ["an address of a link", line("PROXY TCP6 fe80::1%lo ::1 1 2\r\n")],
    ["no port", line(ip4.replace("51234", "65536"))],
    ["a port with zeros before", line(ip4.replace("51234", "051234"))],
    ["too little", line("PROXY TCP4 203.0.113.7 198.51.100.1 51234\r\n")],
    ["too much", line(ip4.replace("443", "443 1"))],
    ["two spaces", line(ip4.replace(" 198", "  198"))],
    ["no command", withByte(binary4, 12, 0x22)],
    ["no version", withByte(binary4, 12, 0x11)],
    ["no TCP", withByte(binary4, 13, 0x12)],
    ["no family", withByte(binary4, 13, 0x41)],
    ["addresses cut off", withByte(binary4, 15, 11)],
    ["addresses of IPv6 cut off", withByte(binary6, 15, 35)],
    ["more than is read", withByte(binary4, 14, mostPreambleBytes >> 8)],
  ])("is refused: %s", (_, bytes) => {
    expect(parsePreamble(bytes)).toEqual({ kind: "wrong", problem: expect.any(String) });
  });
});

function withByte(bytes: Buffer, at: number, value: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[at] = value;
  return changed;
}
