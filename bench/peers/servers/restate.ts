import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { findProgram, freePort, startProgram } from "./program.ts";
import type { PeerServer } from "./server.ts";

const packages = join(import.meta.dirname, "../node_modules/@restatedev");

export const findRestate = (): string | undefined =>
  findProgram("restate-server", [join(packages, `restate-server-${process.platform}-${process.arch}/bin`)]);

/** Restate on one node, as it comes: its log is synced. */
export async function startRestate(program: string, directory: string): Promise<PeerServer> {
  const [node, ingress, admin] = [await freePort(), await freePort(), await freePort()];
  const server = startProgram(program, ["--no-logo"], {
    cwd: directory,
    env: {
      ...process.env,
      RESTATE_BASE_DIR: directory,
      RESTATE_DISABLE_TELEMETRY: "true",
      RESTATE_LISTEN_MODE: "tcp",
      RESTATE_BIND_IP: "127.0.0.1",
      RESTATE_ADVERTISED_HOST: "127.0.0.1",
      RESTATE_BIND_PORT: String(node),
      RESTATE_INGRESS__BIND_PORT: String(ingress),
      RESTATE_ADMIN__BIND_PORT: String(admin),
    },
  });
  await server.listens(ingress);
  await server.listens(admin);
  const { stdout } = await promisify(execFile)(program, ["--version"]);
  return {
    settings: { ingress: `http://127.0.0.1:${ingress}`, admin: `http://127.0.0.1:${admin}` },
    told: `${stdout.trim()}: one node, rocksdb-disable-wal-fsync=false`,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
