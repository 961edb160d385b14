import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const manifest = join(import.meta.dirname, "builder.yaml");

/** Kept between runs; nothing of it is committed. */
const directory = join(import.meta.dirname, "../../../build/otelcol");

/** What the modules of the manifest ask for. */
const oldestGo = "1.26";

/**
 * Builds the Collector by its own builder, which takes minutes the first time and nothing as long as the manifest stays
 * the same. Answers its program.
 */
export async function buildCollector(go: string): Promise<string> {
  const text = await readFile(manifest, "utf8");
  const program = join(directory, `otelcol-${createHash("sha256").update(text).digest("hex").slice(0, 16)}`);
  if (existsSync(program)) return program;
  const version = /^ {2}version: (\S+)$/m.exec(text)?.[1] ?? "";
  await mkdir(directory, { recursive: true });
  const env = { ...process.env, GOBIN: directory };
  try {
    await run(go, ["install", `go.opentelemetry.io/collector/cmd/builder@v${version}`], { env });
    await run(join(directory, "builder"), ["--config", manifest], { cwd: directory, env });
  } catch (error) {
    const { stdout: found } = await run(go, ["version"]);
    throw new Error(
      `the OpenTelemetry Collector cannot be built by ${found.trim()}; its modules ask for Go ${oldestGo}, or newer`,
      { cause: error },
    );
  }
  await rename(join(directory, "sources/otelcol"), program);
  return program;
}

if (import.meta.main) {
  await buildCollector("go");
}
