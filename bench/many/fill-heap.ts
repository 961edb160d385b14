import { heapUse } from "../../src/heap-use.ts";

const numbersEach = 128;
/** So many are made between two looks. */
const perLook = 1_000;

const held: object[] = [];

/** Keeps objects of about a kilobyte, until this share of what V8's heap may take is in use for good. */
export function fillHeap(share: number): void {
  if (global.gc === undefined) {
    throw new Error("what is in use for good is known only with --expose-gc");
  }
  const limit = heapUse().limitBytes;
  for (;;) {
    // Else what will be collected counts, too.
    global.gc();
    const missing = share * limit - heapUse().usedBytes;
    if (missing <= 0) {
      return;
    }
    const before = heapUse().usedBytes;
    while (heapUse().usedBytes - before < missing) {
      for (let count = 0; count < perLook; count++) {
        held.push({ number: held.length, numbers: Array.from({ length: numbersEach }, (_, i) => i + 0.5) });
      }
    }
  }
}
