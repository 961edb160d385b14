import { createContextKey } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { CallValues } from "../../src/transport/call-values.ts";

const first = createContextKey("default of first");
const other = createContextKey<string | undefined>("default of other");
const values = () => new CallValues({ initialValue: (id) => (id === first.id ? "initial" : undefined) });

test("a value is what was set, else what the call began with, else the key's default", () => {
  const some = values();
  expect([some.get(first), some.get(other)]).toEqual(["initial", "default of other"]);
  expect(some.set(first, "set").set(other, undefined)).toBe(some);
  expect([some.get(first), some.get(other)]).toEqual(["set", undefined]);
});

test("a deleted value is the key's default, also where the call began with another", () => {
  expect(values().delete(first).get(first)).toBe("default of first");
  expect(values().set(other, "set").delete(other).get(other)).toBe("default of other");
});
