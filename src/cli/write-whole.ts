import { open, rename, rm } from "node:fs/promises";
import { CliError } from "./cli-error.ts";
import { ExitCode } from "./exit-code.ts";
import type { CliIo } from "./io.ts";

/**
 * Writes a file whole or not at all: whoever reads it meanwhile sees what was there before. A dash is standard output.
 *
 * @throws CliError naming the file
 */
export async function writeWhole(file: string, content: string, io: CliIo): Promise<void> {
  if (file === "-") {
    io.stdout.write(content);
    return;
  }
  const suffix = new Uint8Array(6);
  io.random.fill(suffix);
  const unfinished = `${file}.${Buffer.from(suffix).toString("hex")}.part`;
  try {
    const handle = await open(unfinished, "wx");
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(unfinished, file);
  } catch (cause) {
    await rm(unfinished, { force: true }).catch(() => undefined);
    throw new CliError(`${file} cannot be written: ${(cause as Error).message}`, ExitCode.refused, { cause });
  }
}
