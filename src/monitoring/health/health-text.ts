const units = ["KiB", "MiB", "GiB", "TiB"];

/** `417 bytes`, `1.4 KiB`, `23 MiB`. */
export function bytesText(bytes: number): string {
  let [size, unit] = [bytes, "bytes"];
  for (const next of units) {
    if (size < 999.5) break;
    [size, unit] = [size / 1024, next];
  }
  return `${size < 9.95 && unit !== "bytes" ? size.toFixed(1) : Math.round(size)} ${unit}`;
}

/** `3 ms`, `1.2 s`, `14 min`, `3.5 h`. */
export function durationText(seconds: number): string {
  if (seconds < 0.9995) return `${Math.max(seconds > 0 ? 1 : 0, Math.round(seconds * 1_000))} ms`;
  if (seconds < 99.5) return `${rounded(seconds)} s`;
  if (seconds < 99.5 * 60) return `${rounded(seconds / 60)} min`;
  return `${rounded(seconds / 3_600)} h`;
}

/** `16 %`, `0.4 %`. */
export function percentText(share: number): string {
  return `${rounded(100 * share)} %`;
}

/** `1 run`, `12,345 runs`. */
export function countText(count: number, one: string): string {
  // Whoever asks for a locale first waits a twentieth of a second until all of them are there.
  const digits = String(count).replace(/\B(?=(?:\d{3})+$)/g, ",");
  return `${digits} ${one}${count === 1 ? "" : "s"}`;
}

function rounded(value: number): string {
  return String(Math.abs(value) < 9.95 ? Math.round(value * 10) / 10 : Math.round(value));
}
