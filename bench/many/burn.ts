/** Keeps a core, and the event loop, busy. */
export function burn(durationMs: number): void {
  const endMs = performance.now() + durationMs;
  while (performance.now() < endMs);
}
