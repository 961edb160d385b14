import { describe, expect, it } from "vitest";
import type { ForwardedHeaderName } from "../../src/transport/forwarded-hops.ts";
import { Proxies } from "../../src/transport/proxies.ts";

const trusted = ["10.0.0.0/8", "2001:db8:ffff::/48", "::1"];

const clientBy = (header: ForwardedHeaderName) => (value: string) => {
  const client = new Proxies({ trusted, header }).clientOf(value);
  return client && `${client.address} ${client.port}`;
};

describe("trusted proxies", () => {
  it.each([
    ["10.1.2.3", true],
    ["::ffff:10.1.2.3", true],
    ["2001:db8:ffff:1::2", true],
    ["::1", true],
    ["11.0.0.1", false],
    ["2001:db8:fffe::1", false],
    ["localhost", false],
    ["", false],
    [undefined, false],
  ])("are those that are named: %s", (address, is) => {
    expect(new Proxies({ trusted }).isTrusted(address)).toBe(is);
  });

  it("tell nothing where no header is theirs", () => {
    expect(new Proxies({ trusted }).clientOf("203.0.113.7")).toBeUndefined();
  });
});

describe("the client by X-Forwarded-For", () => {
  it.each([
    ["203.0.113.7", "203.0.113.7 0"],
    ["203.0.113.7:51234", "203.0.113.7 51234"],
    ["2001:DB8:0::7", "2001:db8::7 0"],
    ["[2001:db8::7]:51234", "2001:db8::7 51234"],
    ["198.51.100.9, 203.0.113.7", "203.0.113.7 0"],
    ["198.51.100.9,203.0.113.7 , 10.0.0.2,10.0.0.1", "203.0.113.7 0"],
    ["unknown, 10.0.0.2", "10.0.0.2 0"],
    ["10.0.0.3, 10.0.0.2", "10.0.0.3 0"],
    ["198.51.100.9, unknown", undefined],
    ["198.51.100.9, ", undefined],
    ["198.51.100.9, 203.0.113.7:99999", undefined],
    ["198.51.100.9, fe80::1%eth0", undefined],
    ["", undefined],
  ])("%s is %s", (value, client) => {
    expect(clientBy("x-forwarded-for")(value)).toBe(client);
  });

  it("is found without a look at what does not count", () => {
    const started = performance.now();
    expect(clientBy("x-forwarded-for")(`${",".repeat(5_000_000)}203.0.113.7`)).toBe("203.0.113.7 0");
    expect(performance.now() - started).toBeLessThan(100);
  });

  it("is not looked for behind more proxies than there are", () => {
    const value = ["203.0.113.7", ...Array<string>(5000).fill("10.0.0.1")].join(",");
    expect(clientBy("x-forwarded-for")(value)).toBe("10.0.0.1 0");
  });
});

describe("the client by Forwarded", () => {
  it.each([
    ["for=203.0.113.7", "203.0.113.7 0"],
    ['For="203.0.113.7:51234";proto=https', "203.0.113.7 51234"],
    ['proto=https; for="[2001:DB8::7]:51234" ;by=10.0.0.1', "2001:db8::7 51234"],
    ['for="[2001:db8::7]"', "2001:db8::7 0"],
    ["for=198.51.100.9, for=203.0.113.7;by=10.0.0.2, for=10.0.0.2", "203.0.113.7 0"],
    ['for="198.51.100.9, for=10.0.0.9", for=203.0.113.7', "203.0.113.7 0"],
    ['for="203.0.113.\\7"', "203.0.113.7 0"],
    ["for=_hidden, for=10.0.0.2", "10.0.0.2 0"],
    ["for=198.51.100.9, by=10.0.0.2", undefined],
    ['for="198.51.100.9, for=203.0.113.7', "203.0.113.7 0"],
    ["garbage, for=203.0.113.7", "203.0.113.7 0"],
    ['for=", for="[2001:db8::7]:51234"', "2001:db8::7 51234"],
    ["for=198.51.100.9; , for=203.0.113.7;proto=https", "203.0.113.7 0"],
    [", for=203.0.113.7", "203.0.113.7 0"],
    ["for=198.51.100.9,, ,\tfor=203.0.113.7", "203.0.113.7 0"],
    ["for=203.0.113.7, for=10.0.0.2,, for=10.0.0.1", "203.0.113.7 0"],
    // Of what a proxy cites, nothing counts: that is a client's.
    ['for=203.0.113.7;host="a,for=198.51.100.9"', "203.0.113.7 0"],
    ['garbage, for=203.0.113.7;host="a,for=198.51.100.9"', undefined],
    ['garbage, for=203.0.113.7;host="a,for=198.51.100.9;b=\\""', undefined],
    ["for=203.0.113.7, garbage", undefined],
    [" ,, ", undefined],
    ["for=203.0.113.7 by=10.0.0.1", undefined],
    ["203.0.113.7", undefined],
    ["", undefined],
  ])("%s is %s", (value, client) => {
    expect(clientBy("forwarded")(value)).toBe(client);
  });

  it("is found in linear time", () => {
    const started = performance.now();
    for (const part of [" ", "a=b;", 'for="\\', "for=", '"', "\t,", 'a=",', "a=b,"])
      clientBy("forwarded")(part.repeat(60_000));
    expect(performance.now() - started).toBeLessThan(1000);
  });
});
