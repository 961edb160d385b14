import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compileCacheDirectory } from "../../src/cli/compile-cache.ts";
import { temporaryDirectory } from "../runs/sqlite/temporary-directory.ts";

describe("compileCacheDirectory", () => {
  it("is where systemd says, where caches go, or in the home of the user, in this order", () => {
    const [service, caches, home] = [temporaryDirectory(), temporaryDirectory(), temporaryDirectory()];
    const all = { CACHE_DIRECTORY: `${service}:/elsewhere`, XDG_CACHE_HOME: caches, HOME: home };
    expect(compileCacheDirectory(all)).toBe(join(service, "compiled"));
    expect(compileCacheDirectory({ ...all, CACHE_DIRECTORY: "" })).toBe(join(caches, "retake/compiled"));
    expect(compileCacheDirectory({ XDG_CACHE_HOME: "relative", HOME: home })).toBe(
      join(home, ".cache/retake/compiled"),
    );
    expect(compileCacheDirectory({})).toBeUndefined();
  });

  it("is nowhere that does not belong to the user", () => {
    const home = temporaryDirectory();
    expect(compileCacheDirectory({ HOME: home }, (process.getuid?.() ?? 0) + 1)).toBeUndefined();
    expect(compileCacheDirectory({ HOME: join(home, "missing") })).toBeUndefined();
  });

  it("is Node's own business where the user has named a folder", () => {
    expect(compileCacheDirectory({ HOME: temporaryDirectory(), NODE_COMPILE_CACHE: "/somewhere" })).toBeUndefined();
  });
});

describe("the binary", () => {
  const main = join(import.meta.dirname, "../../src/cli/main.ts");

  it("keeps what Node has compiled for the next start", () => {
    const caches = temporaryDirectory();
    mkdirSync(caches, { recursive: true });
    const { NODE_DISABLE_COMPILE_CACHE: _, ...env } = process.env;
    const { status, stderr } = spawnSync(process.execPath, [main, "--version"], {
      env: { ...env, XDG_CACHE_HOME: caches },
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const [version = ""] = readdirSync(join(caches, "retake/compiled"));
    expect(readdirSync(join(caches, "retake/compiled", version)).length).toBeGreaterThan(10);
  });

  it("keeps it when it serves, also of a server that is killed", async () => {
    const caches = temporaryDirectory();
    mkdirSync(caches, { recursive: true });
    const { NODE_DISABLE_COMPILE_CACHE: _, ...env } = process.env;
    const ports = ["--grpc-port", "0", "--web-port", "off"];
    const server = spawn(process.execPath, [main, "serve", "--json", "--data", temporaryDirectory(), ...ports], {
      env: { ...env, XDG_CACHE_HOME: caches },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(server, "close");
    let told = "";
    while (!told.includes('"grpc"')) told += String(await once(server.stdout, "data"));
    server.kill("SIGKILL");
    await ended;
    const [version = ""] = readdirSync(join(caches, "retake/compiled"));
    expect(readdirSync(join(caches, "retake/compiled", version)).length).toBeGreaterThan(100);
  });
});
