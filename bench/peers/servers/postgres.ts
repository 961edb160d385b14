import { execFile } from "node:child_process";
import { chownSync, readdirSync } from "node:fs";
import { chmod, mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { findProgram, freePort, startProgram } from "./program.ts";
import type { PeerServer } from "./server.ts";

const run = promisify(execFile);

/** Where Debian has it, which puts it on nobody's path; the newest first. */
function folders(): string[] {
  try {
    const versions = readdirSync("/usr/lib/postgresql").sort((a, b) => Number(b) - Number(a));
    return versions.map((version) => `/usr/lib/postgresql/${version}/bin`);
  } catch {
    return [];
  }
}

export const findPostgres = (): string | undefined => findProgram("postgres", folders());

/** PostgreSQL as it comes: every commit is synced. It refuses to be root, and gets the user of its package then. */
export async function startPostgres(program: string, directory: string): Promise<PeerServer> {
  const data = join(directory, "data");
  await mkdir(data, { mode: 0o700 });
  const user = process.getuid?.() === 0 ? await postgresUser() : undefined;
  if (user !== undefined) {
    // Its way to the data leads through the scratch directory.
    await chmod(directory, 0o755);
    chownSync(data, user.uid, user.gid);
  }
  const initialise = join(dirname(program), "initdb");
  await run(initialise, ["--pgdata", data, "--username=bench", "--auth=trust", "--encoding=UTF8", "--no-locale"], {
    ...user,
    cwd: data,
  });
  const port = await freePort();
  const settings = { fsync: "on", synchronous_commit: "on", full_page_writes: "on" };
  const given = { ...settings, listen_addresses: "127.0.0.1", port: String(port), unix_socket_directories: "" };
  const flags = Object.entries(given).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const server = startProgram(program, ["-D", data, ...flags], { ...user, cwd: data });
  await server.listens(port);
  const { stdout } = await run(program, ["--version"]);
  return {
    settings: { url: `postgresql://bench@127.0.0.1:${port}/bench` },
    told: `${stdout.trim()}: ${Object.entries(settings)
      .map(([name, value]) => `${name}=${value}`)
      .join(", ")}`,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function postgresUser(): Promise<{ readonly uid: number; readonly gid: number }> {
  const users = await readFile("/etc/passwd", "utf8");
  const [, , uid, gid] =
    users
      .split("\n")
      .find((line) => line.startsWith("postgres:"))
      ?.split(":") ?? [];
  if (uid === undefined || gid === undefined) {
    throw new Error("PostgreSQL refuses to be root, and there is no user postgres: run this as somebody else");
  }
  return { uid: Number(uid), gid: Number(gid) };
}
