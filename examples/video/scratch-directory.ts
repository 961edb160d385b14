import { lstat, mkdtemp, readdir, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";

/** The host, because containers that share a temporary directory count their processes each for itself. */
const host = hostname().replaceAll(/[^A-Za-z0-9]/g, "_");

/**
 * Makes a directory for one piece of work, `purpose-host-pid-random`, in the machine's temporary directory. Whoever asks for
 * it removes it; what a process could not remove because it was killed is removed by the next one that asks for the same
 * purpose.
 */
export async function makeScratchDirectory(purpose: string): Promise<string> {
  await removeAbandoned(purpose);
  return mkdtemp(join(tmpdir(), `${purpose}-${host}-${process.pid}-`));
}

/** Removes the directories of processes that are gone. What cannot be removed is left for another time. */
async function removeAbandoned(purpose: string): Promise<void> {
  const prefix = `${purpose}-${host}-`;
  const names = await readdir(tmpdir()).catch(() => []);
  for (const name of names) {
    const pid = name.startsWith(prefix) ? /^(\d+)-\w{6}$/.exec(name.slice(prefix.length))?.[1] : undefined;
    if (pid === undefined || isAlive(Number(pid))) continue;
    const directory = join(tmpdir(), name);
    if (await isOwn(directory)) await rm(directory, { recursive: true, force: true }).catch(() => {});
  }
}

/** Whether a process of this number exists, the former owner or, which only delays matters, another one. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** The temporary directory is everybody's: only what this user has made may be removed, and no link be followed. */
async function isOwn(directory: string): Promise<boolean> {
  try {
    const status = await lstat(directory);
    return status.isDirectory() && status.uid === (process.getuid?.() ?? status.uid);
  } catch {
    return false;
  }
}
