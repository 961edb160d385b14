import { describe, expect, it } from "vitest";
import { hasRules } from "../../src/contract/has-rules.ts";
import { compileContracts, contractSource } from "./compile-contracts.ts";

const registry = await compileContracts({
  "rules.proto": contractSource(
    "rules",
    `message Bare { string a = 1; Bare again = 2; map<string, Bare> more = 3; repeated Bare many = 4; }
     message OfField { string a = 1 [(buf.validate.field).string.min_len = 1]; }
     message OfMessage { option (buf.validate.message).cel_expression = "true"; }
     message OfOneof { oneof a { option (buf.validate.oneof).required = true; string b = 1; } }
     message InField { Bare bare = 1; OfField deep = 2; }
     message InList { repeated OfMessage deep = 1; }
     message InMap { map<string, OfOneof> deep = 1; }
     message InOneof { oneof a { string b = 1; Nested deep = 2; } message Nested { InOneof again = 1; InMap deep = 2; } }`,
  ),
});

describe("hasRules", () => {
  it.each([
    ["Bare", false],
    ["OfField", true],
    ["OfMessage", true],
    ["OfOneof", true],
    ["InField", true],
    ["InList", true],
    ["InMap", true],
    ["InOneof", true],
  ])("answers for %s: %s", (name, expected) => {
    const message = registry.getMessage(`rules.${name}`);
    expect(message && hasRules(message)).toBe(expected);
    expect(message && hasRules(message)).toBe(expected);
  });
});
