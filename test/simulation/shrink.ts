/** A failing simulation is tried again that often at most, to find out what it needs in order to fail. */
const mostTries = 250;

/**
 * Parts that can be left out while it still fails, found by leaving out ever smaller pieces of what is left (delta
 * debugging, bounded).
 *
 * @param fails whether it still fails without these parts
 */
export async function shrink(
  parts: readonly string[],
  fails: (without: ReadonlySet<string>) => Promise<boolean>,
): Promise<ReadonlySet<string>> {
  const without = new Set<string>();
  let tries = 0;
  let left = [...parts];
  for (let size = Math.ceil(left.length / 2); size >= 1; ) {
    let isSmaller = false;
    for (let from = 0; from < left.length && tries < mostTries; ) {
      const piece = left.slice(from, from + size);
      tries += 1;
      if (await fails(new Set([...without, ...piece]))) {
        left = left.filter((part) => !piece.includes(part));
        for (const part of piece) {
          without.add(part);
        }
        isSmaller = true;
      } else {
        from += size;
      }
    }
    if (tries >= mostTries || (size === 1 && !isSmaller)) {
      break;
    }
    size = size === 1 ? 1 : Math.ceil(size / 2);
  }
  return without;
}
