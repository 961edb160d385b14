// Lints the contracts and checks their format. With --write it formats them instead.
import { join } from "node:path";
import { buf, buildDirectory, ownModules } from "./buf.ts";
import { deriveImports } from "./derive-imports.ts";

if (process.argv.includes("--write")) {
  for (const module of await ownModules()) await run("format", "--write", module);
} else {
  await deriveImports(join(buildDirectory, "imports"));
  await run("lint");
  for (const module of await ownModules()) {
    await run("format", "--diff", "--exit-code", module);
  }
}

async function run(...args: readonly string[]): Promise<void> {
  if (!(await buf(...args))) process.exitCode = 1;
}
