import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

/** Starts one of the programs of this folder. It does not outlive the test. */
export function startProcess(
  name: string,
  args: readonly string[],
  wrapper: readonly string[] = [],
): ChildProcessWithoutNullStreams {
  const program = fileURLToPath(new URL(`./${name}.ts`, import.meta.url));
  const [command = "", ...rest] = [...wrapper, process.execPath, program, ...args];
  const child = spawn(command, rest);
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  });
  return child;
}

/** Resolves with everything that the process says to its end. */
export async function saidAll(stream: Readable): Promise<string> {
  let text = "";
  for await (const chunk of stream) {
    text += chunk;
  }
  return text;
}

/** Resolves with the first thing that the process says. */
export async function said(child: { readonly stdout: Readable }): Promise<string> {
  const [chunk] = (await once(child.stdout, "data")) as [Buffer];
  return chunk.toString();
}
