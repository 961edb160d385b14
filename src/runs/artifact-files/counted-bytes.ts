/** What the smallest file takes as well: a block of the disk, an inode, and rows that know it. */
export const leastBytes = 4096;

/** How much of a quota a file of so many bytes uses. */
export function countedBytes(size: number): number {
  return Math.max(size, leastBytes);
}
