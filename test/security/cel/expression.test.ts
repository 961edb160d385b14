import { create, createRegistry } from "@bufbuild/protobuf";
import { TimestampSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { compileCondition, compileExpression, ExpressionError } from "../../../src/security/index.ts";
import { PlainRequestSchema } from "../../gen/retake/test/v1/workflows_pb.js";

const options = { variables: ["claims"], field: "security.jwt[0].level" };
const claims = new Map<string, never>(
  Object.entries({ sub: "ada", groups: ["video", "admin"], n: 3, "https://example/role": "editor" }) as never,
);
const resultOf = (source: string): unknown => compileExpression(source, options).evaluate({ claims });

function problemOf(source: string): string {
  try {
    compileExpression(source, options);
    return "";
  } catch (error) {
    expect(error).toBeInstanceOf(ExpressionError);
    return (error as ExpressionError).message;
  }
}

describe("an expression", () => {
  it.each([
    ["claims.sub", "ada"],
    [`claims["https://example/role"]`, "editor"],
    [`"admin" in claims.groups ? "ADMIN" : "PUBLIC"`, "ADMIN"],
    [`has(claims.missing) ? claims.missing : ""`, ""],
    [`claims.groups.map(g, "team:" + g)`, ["team:video", "team:admin"]],
    [`"a b".split(" ")`, ["a", "b"]],
    ["claims.n == 3", true],
    ["claims.groups.size()", 2n],
    ["5u", 5n],
    [`{"a": [1]}`, new Map([["a", [1n]]])],
    ["type(claims.sub) == string", true],
  ])("comes to a plain value: %s", (source, value) => {
    expect(resultOf(source)).toEqual(value);
  });

  it("reads messages of the registry", () => {
    const { evaluate } = compileExpression("request.text.startsWith('a') && now > timestamp('2020-01-01T00:00:00Z')", {
      variables: ["request", "now"],
      field: "condition",
      registry: createRegistry(PlainRequestSchema, TimestampSchema),
    });
    const now = timestampFromMs(Date.UTC(2026, 0));
    expect(evaluate({ request: create(PlainRequestSchema, { text: "abc" }), now })).toBe(true);
    expect(evaluate({ request: create(PlainRequestSchema, { text: "bc" }), now })).toBe(false);
  });

  it.each([
    ["claims.x +", `"claims.x +" is no CEL expression for this: line 1, column 10: `],
    ["", "is no CEL expression"],
    ["claim.sub", `there is no variable claim. Did you mean "claims"?`],
    ["principal.sub", "there is no variable principal. There are: claims"],
    ["constructor", "there is no variable constructor"],
    ["claims.groups.exist(g, g == 'a')", "there is no "],
    ["claims.groups.exists(g, h == 'a')", "there is no variable h"],
    [`sise(claims.groups) > 1`, `there is no function sise. Did you mean "size"?`],
    [`{claims.sub: nothing}`, "there is no variable nothing"],
    [`[nothing]`, "there is no variable nothing"],
    [
      "claims.a.exists(a, a.exists(b, b.exists(c, c)))",
      "exists, all, map and filter stand in each other more than 2 deep",
    ],
    ["1 + ".repeat(2000), "the expression has 8000 characters; 4096 are allowed"],
  ])("is refused before it is used when it cannot work: %s", (source, problem) => {
    expect(problemOf(source)).toContain(problem);
    expect(problemOf(source)).toMatch(/^security\.jwt\[0\]\.level: /);
  });

  it("that has no value says so by its key", () => {
    expect(() => resultOf("claims.missing == 1")).toThrow(
      /^security\.jwt\[0\]\.level: "claims\.missing == 1" has no value: /,
    );
    expect(() => resultOf(`claims.sub.matches("(")`)).toThrow(ExpressionError);
  });

  it("takes linear time for a regular expression that is made to backtrack", () => {
    const { evaluate } = compileExpression(`claims.matches("^(a+)+$")`, options);
    const startedMs = performance.now();
    expect(evaluate({ claims: `${"a".repeat(5000)}!` })).toBe(false);
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });
});

describe("a condition", () => {
  it("is true or false, and nothing else", () => {
    expect(compileCondition(`claims.sub == "ada"`, options).evaluate({ claims })).toBe(true);
    expect(compileCondition(`claims.sub == "bob"`, options).evaluate({ claims })).toBe(false);
    expect(() => compileCondition("claims.sub", options).evaluate({ claims })).toThrow(
      `security.jwt[0].level: "claims.sub" is neither true nor false`,
    );
  });
});
