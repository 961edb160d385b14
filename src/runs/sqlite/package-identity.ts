import { readFileSync } from "node:fs";

export interface PackageIdentity {
  readonly name: string;
  readonly version: string;
}

/** What this package calls itself; `src` and `dist` are equally deep below its manifest. */
export function packageIdentity(): PackageIdentity {
  const manifest = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  const { name, version } = JSON.parse(manifest) as PackageIdentity;
  return { name, version };
}
