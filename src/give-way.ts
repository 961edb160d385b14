import { getPriority, setPriority } from "node:os";

/** A third of the share of a core that the others have, when they want it. */
const niceness = 5;
const nicest = 19;

/**
 * Has the thread that calls it give way to the others of its process, such as the one that stores what callers wait for. Only
 * Linux has that for threads: elsewhere it would be the whole process, and nothing is done.
 */
export function giveWay(): void {
  if (process.platform !== "linux") return;
  try {
    setPriority(0, Math.min(nicest, getPriority(0) + niceness));
  } catch {
    // A sandbox may forbid it, and it is no more than a courtesy.
  }
}
