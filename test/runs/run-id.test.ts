import { describe, expect, it } from "vitest";
import { childRunId, isRunId, newRunId } from "../../src/runs/run-id.ts";
import { createSeededRandom } from "../../src/testing/index.ts";

describe("newRunId", () => {
  it("is a UUIDv7 in lower case that carries its time and sorts by it", () => {
    const random = createSeededRandom(1);
    const ids = [0, 1, 1_700_000_000_000, 2 ** 48 - 1].map((timeMs) => newRunId(timeMs, random));
    for (const id of ids) {
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(isRunId(id)).toBe(true);
    }
    expect(ids.toSorted()).toEqual(ids);
    expect(Number.parseInt((ids[2] ?? "").replaceAll("-", "").slice(0, 12), 16)).toBe(1_700_000_000_000);
  });

  it("differs each time, and repeats with its random source", () => {
    const many = (seed: number) => {
      const random = createSeededRandom(seed);
      return Array.from({ length: 1000 }, () => newRunId(1, random));
    };
    expect(new Set(many(1)).size).toBe(1000);
    expect(many(1)).toEqual(many(1));
    expect(many(1)).not.toEqual(many(2));
  });
});

describe("childRunId", () => {
  const parent = newRunId(1_700_000_000_000, createSeededRandom(1));
  const digest = new Uint8Array([1, 2, 3]);

  it("is the same for the same parent, name and input, and has its parent's time", () => {
    expect(childRunId(parent, "a", digest)).toBe(childRunId(parent, "a", digest));
    expect(isRunId(childRunId(parent, "a", digest))).toBe(true);
    expect(childRunId(parent, "a", digest).slice(0, 13)).toBe(parent.slice(0, 13));
  });

  it("differs by each of them, also where they run into each other", () => {
    const other = newRunId(1_700_000_000_000, createSeededRandom(2));
    const ids = [
      childRunId(parent, "a", digest),
      childRunId(other, "a", digest),
      childRunId(parent, "b", digest),
      childRunId(parent, "a", new Uint8Array([1, 2])),
      childRunId(parent, "a\n", digest),
      childRunId(parent, "a\u0001", new Uint8Array([2, 3])),
    ];
    expect(new Set(ids).size).toBe(ids.length);
  });
});
