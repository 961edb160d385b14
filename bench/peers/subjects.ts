import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findPostgres, startPostgres } from "./servers/postgres.ts";
import { findRedis, startRedis } from "./servers/redis.ts";
import { findRestate, startRestate } from "./servers/restate.ts";
import type { PeerServer } from "./servers/server.ts";

/** A product that is measured. */
export interface Subject {
  readonly name: string;
  /** Of the app, in apps/. */
  readonly module: string;
  /** Packages whose versions are told. */
  readonly packages: readonly string[];
  /** The server program beside the app; absent where there is none. */
  readonly server?: {
    /** What to do where it is missing. */
    readonly hint: string;
    find(): string | undefined;
    start(program: string, directory: string): Promise<PeerServer>;
  };
}

const redis = { find: findRedis, hint: "apt-get install redis-server" };

export const subjects: readonly Subject[] = [
  { name: "retake", module: "retake.ts", packages: [] },
  {
    name: "restate",
    module: "restate.mjs",
    packages: ["@restatedev/restate-sdk"],
    server: { find: findRestate, start: startRestate, hint: "there is none for this platform on npm" },
  },
  {
    name: "dbos",
    module: "dbos.mjs",
    packages: ["@dbos-inc/dbos-sdk"],
    server: { find: findPostgres, start: startPostgres, hint: "apt-get install postgresql" },
  },
  {
    name: "bullmq",
    module: "bullmq.mjs",
    packages: ["bullmq"],
    server: { ...redis, start: startRedis("always") },
  },
  {
    name: "bullmq-everysec",
    module: "bullmq.mjs",
    packages: ["bullmq"],
    server: { ...redis, start: startRedis("everysec") },
  },
];

/** "bullmq 6.7.0" */
export function packageVersion(name: string): string {
  const manifest = readFileSync(join(import.meta.dirname, "node_modules", name, "package.json"), "utf8");
  return `${name} ${(JSON.parse(manifest) as { readonly version: string }).version}`;
}
