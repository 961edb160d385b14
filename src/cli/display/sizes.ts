const units = ["KiB", "MiB", "GiB", "TiB"];

/** `812 B`, `4.2 KiB`, `380 MiB`. */
export function showBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let amount = bytes;
  let unit = "";
  for (const next of units) {
    if (amount < 999.5 && unit !== "") break;
    amount /= 1024;
    unit = next;
  }
  return `${amount < 9.95 ? amount.toFixed(1) : Math.round(amount)} ${unit}`;
}

/** `1 run`, `12,345 runs`. */
export function showCount(count: number | bigint, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en-US")} ${Number(count) === 1 ? one : many}`;
}
