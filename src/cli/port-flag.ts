import { UsageError } from "./cli-error.ts";

/** What a flag says of a port: its number, or that there is none. @throws UsageError for anything else */
export function parsePortFlag(flag: string, text: string | undefined): number | "off" | undefined {
  if (text === undefined || text === "off") return text;
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) {
    throw new UsageError(`${flag}: "${text}" is no port; give one from 1 to 65535, 0 for a free one, or off`);
  }
  return Number(text);
}
