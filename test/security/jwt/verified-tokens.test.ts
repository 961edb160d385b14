import { describe, expect, it } from "vitest";
import { inProcess } from "../../../src/security/index.ts";
import { VerifiedTokens } from "../../../src/security/jwt/verified-tokens.ts";

const principal = inProcess;
const until = (untilMs: number, issuer = "a") => ({ principal, issuer, untilMs });

describe("verified tokens", () => {
  it("are known until they expire", () => {
    const tokens = new VerifiedTokens();
    tokens.add("one", until(1000));
    expect([tokens.get("one", 999), tokens.get("one", 1000), tokens.get("one", 0)]).toEqual([
      principal,
      undefined,
      undefined,
    ]);
  });

  it("are forgotten by issuer", () => {
    const tokens = new VerifiedTokens();
    tokens.add("one", until(1000, "a"));
    tokens.add("two", until(1000, "b"));
    tokens.removeAll("a");
    expect([tokens.get("one", 0), tokens.get("two", 0)]).toEqual([undefined, principal]);
  });

  it("are bounded in number: the oldest give way", () => {
    const tokens = new VerifiedTokens();
    for (let index = 0; index <= 10_000; index++) tokens.add(`token ${index}`, until(1000));
    expect(tokens.get("token 0", 0)).toBeUndefined();
    expect(tokens.get("token 1", 0)).toBe(principal);
    expect(tokens.get("token 10000", 0)).toBe(principal);
  });

  it("are bounded in size, however often one comes again", () => {
    const tokens = new VerifiedTokens();
    const large = "x".repeat(1024 * 1024);
    for (let index = 0; index < 40; index++) tokens.add(large, until(1000));
    for (let index = 0; index < 16; index++) tokens.add(`${index}${large}`, until(1000));
    expect(tokens.get(large, 0)).toBeUndefined();
    expect(tokens.get(`0${large}`, 0)).toBeUndefined();
    expect(tokens.get(`15${large}`, 0)).toBe(principal);
    expect(tokens.get(`1${large}`, 0)).toBe(principal);
  });
});
