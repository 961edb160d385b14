const units = ["KiB", "MiB", "GiB", "TiB"];

/** `417 bytes`, `1.4 KiB`, `23 MiB`. */
export function showBytes(bytes: number): string {
  if (bytes < 1024) return bytes === 1 ? "1 byte" : `${bytes} bytes`;
  let size = bytes;
  let unit = "";
  for (const next of units) {
    // What rounds to a thousand and more belongs to the next unit.
    if (size < 999.5 && unit !== "") break;
    size /= 1024;
    unit = next;
  }
  return `${size < 9.95 ? size.toFixed(1) : Math.round(size)} ${unit}`;
}
