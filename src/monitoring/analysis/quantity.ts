/** A value with its unit (UCUM), for people: `1.4 GiB`, `120 ms`, `3.2 %`, `12 runs`. */
export function quantityText(value: number, unit: string): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "unknown" : value > 0 ? "infinite" : "minus infinite";
  const sign = value < 0 ? "-" : "";
  const size = Math.abs(value);
  switch (unit) {
    case "By":
      return sign + bytesText(size);
    case "s":
      return sign + durationText(size);
    case "1":
      return `${sign}${digits(size * 100)} %`;
    default: {
      const { noun = "", per = "" } = annotation.exec(unit)?.groups ?? {};
      const plural = noun === "" || size === 1 ? noun : `${noun}s`;
      return (
        [`${sign}${digits(size)}`, plural].filter((part) => part !== "").join(" ") + (per && ` per ${perNames[per]}`)
      );
    }
  }
}

/** What braces of UCUM say is being counted, and the time in which it is. */
const annotation = /^\{(?<noun>[a-z ]+)\}(?:\/(?<per>s|min|h))?$/;

const perNames: Readonly<Record<string, string>> = { s: "second", min: "minute", h: "hour" };

const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

function bytesText(bytes: number): string {
  let [size, index] = [bytes, 0];
  while (size >= 999.5 && index < byteUnits.length - 1) {
    size /= 1024;
    index++;
  }
  return `${digits(size)} ${byteUnits[index]}`;
}

/** In the two largest units. */
export function durationText(seconds: number): string {
  if (seconds === 0) return "0 s";
  if (seconds < 0.9995e-3) return `${digits(seconds * 1e6)} µs`;
  if (seconds < 0.9995) return `${digits(seconds * 1e3)} ms`;
  if (seconds < 59.5) return `${digits(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (seconds < 3_570) return joined(Math.floor(Math.round(seconds) / 60), "min", Math.round(seconds) % 60, "s");
  if (minutes < 24 * 60) return joined(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(seconds / 3_600);
  return joined(Math.floor(hours / 24), hours < 48 ? "day" : "days", hours % 24, "h");
}

function joined(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** Three digits that count; whole numbers as they are, with commas. */
function digits(value: number): string {
  const rounded = Number.isInteger(value) || value >= 999.5 ? Math.round(value) : Number(value.toPrecision(3));
  return rounded.toLocaleString("en-US", { maximumFractionDigits: 20 });
}
