import { readFile } from "node:fs/promises";
import { packageRoot } from "./own-files.ts";

/** The version of this package. */
export async function ownVersion(): Promise<string> {
  const manifest = JSON.parse(await readFile(new URL("package.json", packageRoot), "utf8")) as { version: string };
  return manifest.version;
}
