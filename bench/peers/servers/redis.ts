import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { findProgram, freePort, startProgram } from "./program.ts";
import type { PeerServer } from "./server.ts";

export const findRedis = (): string | undefined => findProgram("redis-server");

/**
 * Redis with its log of changes, synced before each answer, or once a second: BullMQ advises the second, by which a
 * crash may lose a second of what has been acknowledged.
 */
export function startRedis(sync: "always" | "everysec") {
  return async (program: string, directory: string): Promise<PeerServer> => {
    const port = await freePort();
    const durability = ["--appendonly", "yes", "--appendfsync", sync, "--maxmemory-policy", "noeviction"];
    const server = startProgram(
      program,
      ["--port", String(port), "--bind", "127.0.0.1", "--dir", directory, "--save", "", ...durability],
      { cwd: directory },
    );
    await server.listens(port);
    const { stdout } = await promisify(execFile)(program, ["--version"]);
    const version = /v=(\S+)/.exec(stdout)?.[1] ?? stdout.trim();
    return {
      settings: { port: String(port) },
      told: `Redis ${version}: ${durability.join(" ").replaceAll("--", "")}`,
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  };
}
