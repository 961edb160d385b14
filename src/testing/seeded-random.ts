import type { RandomSource } from "../clock.ts";

/**
 * A repeatable source of randomness for tests and simulations: equal seeds give equal sequences, on every machine. It is
 * sfc32 (Chris Doty-Humphrey's PractRand), good statistically and no secret.
 *
 * @throws RangeError when the seed is not a safe integer
 */
export function createSeededRandom(seed: number): RandomSource {
  if (!Number.isSafeInteger(seed)) {
    throw new RangeError(`the seed of a random source must be a safe integer, not ${seed}`);
  }
  const nextWord = sfc32(seed);
  return {
    // 53 bits, all that a double holds below 1.
    next: () => ((nextWord() >>> 5) * 2 ** 26 + (nextWord() >>> 6)) / 2 ** 53,
    fill: (bytes) => {
      for (let offset = 0; offset < bytes.length; offset += 4) {
        let word = nextWord();
        for (let index = offset; index < offset + 4 && index < bytes.length; index++) {
          bytes[index] = word;
          word >>>= 8;
        }
      }
    },
  };
}

/** Numbers from 0 to 2^32 - 1. */
function sfc32(seed: number): () => number {
  let a = 0;
  let b = seed | 0;
  let c = Math.floor(seed / 2 ** 32) | 0;
  let counter = 1;
  const next = (): number => {
    const word = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + word) | 0;
    return word >>> 0;
  };
  // Enough rounds for every bit of the seed to reach every bit of the state: similar seeds do not begin alike.
  for (let round = 0; round < 15; round++) {
    next();
  }
  return next;
}
