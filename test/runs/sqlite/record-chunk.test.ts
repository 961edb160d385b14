import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { packRecords, unpackRecords } from "../../../src/runs/sqlite/record-chunk.ts";

describe("records that share a row", () => {
  it("come back as they were, empty ones too", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 20 }), (records) => {
        const chunk = packRecords(records);
        // As SQLite gives them back.
        expect(unpackRecords(new Uint8Array(chunk), records.length)).toEqual(records);
      }),
    );
  });

  it("cost nothing when there is one", () => {
    const record = Uint8Array.of(1, 2, 3);
    expect(packRecords([record])).toBe(record);
  });

  it.each([
    ["too short for the lengths", Uint8Array.of(1, 0, 0), 2],
    ["shorter than the lengths say", Uint8Array.of(9, 0, 0, 0, 1), 2],
  ])("are refused when the bytes are %s", (_, chunk, count) => {
    expect(() => unpackRecords(chunk, count)).toThrow(RangeError);
  });
});
