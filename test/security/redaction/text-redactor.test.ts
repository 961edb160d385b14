import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTextRedactor } from "../../../src/security/redaction/index.ts";

const key = new Uint8Array(32).fill(1);
const redactor = createTextRedactor({ personalData: "redact", key });
const pseudonymous = createTextRedactor({ personalData: "pseudonymize", key });

describe("a text redactor", () => {
  const cases: [what: string, text: string, without: string][] = [
    ["an e-mail address", "mail ada.l+x@mail.example.org, please", "mail [email], please"],
    ["one in an URL's query", "?to=ada@example.org&x=1", "?[email]&x=1"],
    ["a card number", "card 4111 1111 1111 1111!", "card [card]!"],
    ["a card number of 15", "378282246310005", "[card]"],
    ["a card among other numbers", "12 4111-1111-1111-1111 99", "12 [card] 99"],
    ["a telephone number", "call +49 (0)30 1234567 now", "call [phone] now"],
    ["one as in North America", "call (555) 010-1234.", "call [phone]."],
    ["an IPv4 address", "from 203.0.113.9:50051", "from [ip]:50051"],
    ["an IPv6 address", "from [2001:db8::17]:443", "from [[ip]]:443"],
    ["an IPv4 address as IPv6", "from ::ffff:203.0.113.9", "from [ip]"],
    ["a bearer token", "authorization: Bearer abc.def-ghi_123", "authorization: Bearer [credential]"],
    ["an API key", "key rtk_0123456789abcdefghijKLMNOP", "key [credential]"],
    ["a header's key", '{"x-api-key":"hunter22"}', '{"x-api-key":"[credential]"}'],
    ["a webhook secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "[credential]"],
    ["a JSON web token", "eyJhbGciOi.eyJzdWIiOi.c2ln-x", "[credential]"],
    ["a password in a URL", "https://ada:s3cret@host/x", "https://[credential]@host/x"],
    [
      "a private key",
      "-----BEGIN PRIVATE KEY-----\nMIIEvQ\nabc=\n-----END PRIVATE KEY-----",
      "-----BEGIN PRIVATE KEY-----[credential]-----END PRIVATE KEY-----",
    ],
  ];
  it.each(cases)("takes out %s", (_, text, without) => {
    expect(redactor.text(text)).toBe(without);
  });

  const harmless = [
    "run 0198c2a4-5b1e-7cc3-9b1e-4f0d2c6a7b8c at 127.0.0.1:50051, [::1]:8080 and 0.0.0.0",
    "a.v1.A/Do took 12:30:45 at 1795797000000, version 1.2.3, 4111111111111112, 12 of 34",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 of 10000000000 bytes",
    "2026-11-27T16:30:00.123Z",
    "std::string a::b @ 5, user@host",
  ];
  it.each(harmless)("leaves alone: %s", (text) => {
    expect(redactor.text(text)).toBe(text);
  });

  it("gives the same thing the same pseudonym, however it is written, and another under another key", () => {
    const [first, second] = pseudonymous.text("4111 1111 1111 1111 | 4111-1111-1111-1111").split(" | ");
    expect(first).toMatch(/^card:[0-9a-f]{16}$/);
    expect(second).toBe(first);
    expect(pseudonymous.text("Ada@Example.org")).toBe(pseudonymous.text("ada@example.org"));
    const other = createTextRedactor({ personalData: "pseudonymize", key: new Uint8Array(32) });
    expect(other.text("ada@example.org")).not.toBe(pseudonymous.text("ada@example.org"));
    expect(pseudonymous.text(pseudonymous.text("ada@example.org"))).toBe(pseudonymous.text("ada@example.org"));
  });

  it("keeps personal data where it is told to, credentials never, and addresses that are nobody's", () => {
    const keeping = createTextRedactor({ personalData: "keep", key });
    expect(keeping.text("ada@example.org has Bearer abcdefgh12")).toBe("ada@example.org has Bearer [credential]");
    const own = createTextRedactor({ personalData: "redact", key, keepAddresses: ["10.0.0.0/8", "2001:db8::/32"] });
    expect(own.text("10.1.2.3 2001:db8::1 192.0.2.1")).toBe("10.1.2.3 2001:db8::1 [ip]");
    expect(own.address("10.1.2.3")).toBe("10.1.2.3");
    expect(own.address("192.0.2.1")).toBe("[ip]");
    expect(own.address("2001:db9:1:2::/64")).toBe("[ip]");
    expect(own.address("in-process")).toBe("in-process");
  });

  it("leaves JSON what it is", () => {
    const line = JSON.stringify({
      card: 4111111111111111,
      list: [4111111111111111],
      text: 'a "ada@example.org"',
      n: 5,
    });
    expect(JSON.parse(redactor.jsonLine(line))).toEqual({
      card: "[card]",
      list: ["[card]"],
      text: 'a "[email]"',
      n: 5,
    });
  });

  const word = fc.stringMatching(/^[a-z]{1,10}$/);
  const planted = fc.oneof(
    fc.tuple(word, word).map(([a, b]) => `${a}@${b}.example`),
    fc.constantFrom("4111111111111111", "5500 0000 0000 0004", "3400-000000-00009", "6011 0000 0000 0004"),
    fc.ipV4().filter((ip) => !/^(?:127|0\.0\.0\.0)/.test(ip)),
    // Two names joined by "::" look the same as an address that has neither a digit nor a third colon.
    fc.ipV6().filter((ip) => /\d|(?::.*){3}/.test(ip) && !/^[:0]*1?$/.test(ip) && !ip.includes(".")),
    fc.stringMatching(/^\+[1-9][0-9]{9,13}$/),
    fc.stringMatching(/^rtk_[a-zA-Z0-9]{30}$/),
  );
  const around = fc.string({ unit: fc.constantFrom(..."ab 1,;|()\n\t\"'=é".split("")), maxLength: 30 });
  const gap = fc.constantFrom(" ", ", ", "\n", ' "', "; ");

  it("lets nothing survive that was planted in a text", () => {
    fc.assert(
      fc.property(around, gap, planted, gap, around, (before, left, secret, right, after) => {
        expect(redactor.text(`${before}${left}${secret}${right}${after}`)).not.toContain(secret);
        const line = JSON.stringify({ [`k ${before}`]: `${left}${secret}${right}`, after });
        expect(() => JSON.parse(pseudonymous.jsonLine(line))).not.toThrow();
        expect(pseudonymous.jsonLine(line)).not.toContain(secret);
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ["@", 100_000],
    ["1-", 50_000],
    ["4111 ", 20_000],
    ["1.1.", 25_000],
    ["a:", 50_000],
    ["::ffff:", 10_000],
    ["+1 ", 30_000],
    ["Bearer ", 10_000],
    ["eyJ.", 20_000],
    ["://:", 20_000],
    ["a.@", 30_000],
    ["-----BEGIN PRIVATE KEY-----", 3_000],
    ["password=", 10_000],
  ])("takes linear time for %s, many times", (text, times) => {
    const before = process.hrtime.bigint();
    redactor.text(text.repeat(times));
    // Some 50 ms; with the square of the length it would be minutes.
    expect(Number(process.hrtime.bigint() - before) / 1e6).toBeLessThan(2000);
  });
});
