import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { systemRandom } from "../../../src/clock.ts";
import { createKey, parseKey } from "../../../src/security/keys/key-format.ts";
import { createSeededRandom } from "../../../src/testing/index.ts";

const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const keyOf = (seed: number) => createKey(createSeededRandom(seed));
const printable = Array.from({ length: 94 }, (_, index) => String.fromCharCode(0x21 + index));

describe("an API key", () => {
  it("has a prefix that scanners find, its id, 256 random bits and a checksum, and is told from its text", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const { id, text } = keyOf(seed);
        expect(text).toMatch(/^rtk_[0-9A-Za-z]{11}_[0-9A-Za-z]{49}$/);
        expect(parseKey(text)).toEqual({ kind: "key", id });
      }),
    );
  });

  it("keeps its length where the random bytes begin with zeros", () => {
    const zeros = createKey({ next: () => 0, fill: (bytes) => bytes.fill(0) });
    expect(parseKey(zeros.text)).toEqual({ kind: "key", id: "00000000000" });
    const ones = createKey({ next: () => 0, fill: (bytes) => bytes.fill(255) });
    expect(parseKey(ones.text)).toEqual({ kind: "key", id: ones.id });
  });

  it("is never taken for one when any single character is another", () => {
    const { text } = createKey(systemRandom);
    for (let index = 0; index < text.length; index++) {
      for (const other of printable) {
        if (other === text[index]) continue;
        const changed = `${text.slice(0, index)}${other}${text.slice(index + 1)}`;
        expect([changed, parseKey(changed).kind]).toEqual([changed, index < 4 ? "other" : "mistyped"]);
      }
    }
  });

  it("is never taken for one with two neighbours swapped, a character missing or one too many", () => {
    fc.assert(
      fc.property(seeds, fc.nat({ max: 63 }), fc.constantFrom(...printable), (seed, index, extra) => {
        const { text } = keyOf(seed);
        const [a, b] = [text[index] ?? "", text[index + 1] ?? ""];
        if (a !== b) expect(parseKey(`${text.slice(0, index)}${b}${a}${text.slice(index + 2)}`).kind).not.toBe("key");
        expect(parseKey(`${text.slice(0, index)}${text.slice(index + 1)}`).kind).not.toBe("key");
        expect(parseKey(`${text.slice(0, index)}${extra}${text.slice(index)}`).kind).not.toBe("key");
      }),
    );
  });

  it.each(["", "rtk", "Bearer x", "eyJhbGciOiJIUzI1NiJ9.e30.x"])("%j is of another kind", (text) => {
    expect(parseKey(text)).toEqual({ kind: "other" });
  });

  it.each(["rtk_", "rtk_x", `rtk_${"a".repeat(100_000)}`, "rtk_00000000000_é"])(
    "%# begins like one, and is none",
    (text) => {
      expect(parseKey(text)).toEqual({ kind: "mistyped" });
    },
  );
});
