import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ChunkWriter, readChunk } from "../../../src/monitoring/series/chunk.ts";

type Sample = readonly [timeMs: number, value: number];

function written(samples: readonly Sample[]): ChunkWriter {
  const chunk = new ChunkWriter();
  for (const [timeMs, value] of samples) chunk.append(timeMs, value);
  return chunk;
}

function read({ bytes, samples }: Pick<ChunkWriter, "bytes" | "samples">): Sample[] {
  const found: Sample[] = [];
  readChunk(bytes, samples, (timeMs, value) => found.push([timeMs, value]));
  return found;
}

const start = 1_800_000_000_000;

const gaps = fc.oneof(
  fc.constant(10_000),
  fc.integer({ min: 1, max: 20_000 }),
  fc.integer({ min: 1, max: 2 ** 21 }),
  fc.integer({ min: 1, max: 2 ** 45 }),
);

const values = fc.oneof(
  fc.double(),
  fc.integer().map((value) => value),
  fc.constantFrom(0, -0, 1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.MIN_VALUE),
);

describe("a chunk", () => {
  it("gives back every sample, bit by bit", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(gaps, values), { maxLength: 200 }), (steps) => {
        let timeMs = start;
        const samples: Sample[] = [];
        for (const [gapMs, value] of steps) {
          timeMs += gapMs;
          samples.push([timeMs, value]);
        }
        const chunk = written(samples);

        expect(read(chunk)).toEqual(samples);
        expect([chunk.samples, chunk.startMs, chunk.endMs]).toEqual([
          samples.length,
          samples[0]?.[0] ?? 0,
          samples.at(-1)?.[0] ?? 0,
        ]);
      }),
      { numRuns: 300 },
    );
  });

  it("takes times before the epoch and far apart", () => {
    const samples: Sample[] = [
      [-5_000, 1],
      [0, 2],
      [2 ** 40, 3],
      [2 ** 40 + 1, 4],
      [2 ** 41, 5],
    ];
    expect(read(written(samples))).toEqual(samples);
  });

  it("needs two bits for a sample in step that has not changed", () => {
    const chunk = written(Array.from({ length: 1_002 }, (_, i): Sample => [start + i * 10_000, 42]));
    // Time and value of the first, the first difference of times, then two bits each.
    expect(chunk.bytes.length).toBeLessThanOrEqual(16 + 3 + 1_000 / 4);
  });

  it("needs less than two bytes for a counter that counts some a step", () => {
    const chunk = written(Array.from({ length: 360 }, (_, i): Sample => [start + i * 10_000, 3 * i + ((i * 7) % 3)]));
    expect(chunk.bytes.length / 360).toBeLessThan(2);
  });
});
