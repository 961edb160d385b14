import { readFileSync } from "node:fs";
import { packageRoot } from "../../own-files.ts";

export interface PackageIdentity {
  readonly name: string;
  readonly version: string;
}

/** What this package calls itself. */
export function packageIdentity(): PackageIdentity {
  const manifest = readFileSync(new URL("package.json", packageRoot), "utf8");
  const { name, version } = JSON.parse(manifest) as PackageIdentity;
  return { name, version };
}
