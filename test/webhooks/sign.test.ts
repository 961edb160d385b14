import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import { formatSecret, parseSecret } from "../../src/webhooks/secret.ts";
import { signWebhook } from "../../src/webhooks/sign.ts";

const one = `whsec_${Buffer.alloc(24, 1).toString("base64")}`;
const other = `whsec_${Buffer.alloc(64, 2).toString("base64")}`;

describe("signWebhook", () => {
  it("signs as another implementation does and checks", () => {
    const nowMs = Date.now();
    const headers = signWebhook("id-1", nowMs, '{"a":"ü"}', [parseSecret(one)]);
    expect(new Webhook(one).verify('{"a":"ü"}', { ...headers })).toEqual({ a: "ü" });
    expect(() => new Webhook(one).verify('{"a":"u"}', { ...headers })).toThrow();
    expect(() => new Webhook(other).verify('{"a":"ü"}', { ...headers })).toThrow();
    expect(headers["webhook-timestamp"]).toBe(String(Math.floor(nowMs / 1000)));
  });

  it("signs with every secret, for receivers that know one of them", () => {
    const headers = { ...signWebhook("id-1", Date.now(), "{}", [parseSecret(one), parseSecret(other)]) };
    expect(new Webhook(one).verify("{}", headers)).toEqual({});
    expect(new Webhook(other).verify("{}", headers)).toEqual({});
    expect(headers["webhook-signature"].split(" ")).toHaveLength(2);
  });
});

describe("parseSecret", () => {
  it("takes 24 to 64 bytes", () => {
    expect(formatSecret(parseSecret(one))).toBe(one);
    expect(formatSecret(parseSecret(other))).toBe(other);
  });

  it.each([
    "",
    "whsec_",
    "hunter2hunter2hunter2hunter2hunter2",
    `whsec_${Buffer.alloc(23).toString("base64")}`,
    `whsec_${Buffer.alloc(65).toString("base64")}`,
    `whsec_${Buffer.alloc(24).toString("base64")} `,
    "whsec_ÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄ",
  ])("refuses %j without repeating it", (text) => {
    expect(() => parseSecret(text)).toThrow(/^a secret is "whsec_" and 24 to 64 bytes in base64/);
    if (text.length > 10) expect(() => parseSecret(text)).not.toThrow(text.slice(6));
  });
});
