import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCli } from "../../../src/cli/run-cli.ts";
import { compileFilm, contractFile, startFilmBackend } from "../../server/contract-files.ts";
import { createIo, jsonLines, retake } from "../harness.ts";

const handlers = join(import.meta.dirname, "..", "fixtures", "handlers.ts");

let directory = "";
let quiet = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "retake-serve-"));
  quiet = join(directory, "quiet.yaml");
  await writeFile(quiet, "log: { level: silent }\nsecurity: { anonymous_level: ACCESS_LEVEL_ADMIN }\n");
});
afterEach(() => rm(directory, { recursive: true }));

const inDirectory = (...argv: string[]) => ["serve", "--config", quiet, "--data", join(directory, "data"), ...argv];
const onFreePorts = (...argv: string[]) => inDirectory("--grpc-port", "0", "--web-port", "off", ...argv);

async function fileWith(name: string, content: string): Promise<string> {
  await writeFile(join(directory, name), content);
  return join(directory, name);
}

describe("retake serve", () => {
  it("serves what its modules implement, says where, and stops cleanly when it is told to", async () => {
    const { io, stderr, seen, interrupt } = createIo();
    const serving = runCli(inDirectory("--grpc-port", "0", "--web-port", "0", "--handlers", handlers), io);
    await seen(/web {3}http:\/\/127\.0\.0\.1:\d+\n/);
    const target = /gRPC {2}(\S+)/.exec(stderr())?.[1] ?? "";
    const { exitCode, stdout } = await retake(["run", "Plain", "-i", '{"text": "hi"}', "-w", "-q", "--target", target]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ text: "hi" });
    const web = /web {3}(\S+)/.exec(stderr())?.[1] ?? "";
    expect((await fetch(`${web}/healthz`)).status).toBe(200);
    interrupt();
    expect(await serving).toBe(0);
    expect(stderr()).toContain("Stopping");
    expect((await retake(["workflows", "--target", target])).exitCode).toBe(3);
  });

  it("counts by the instruments that its modules make of OpenTelemetry's API while they are loaded", async () => {
    const { io, stderr, seen, interrupt } = createIo();
    const meters = join(import.meta.dirname, "..", "fixtures", "meters.ts");
    const serving = runCli(inDirectory("--grpc-port", "0", "--web-port", "0", "--handlers", meters), io);
    await seen(/web {3}http:\/\/127\.0\.0\.1:\d+\n/);
    const target = /gRPC {2}(\S+)/.exec(stderr())?.[1] ?? "";
    expect((await retake(["run", "Plain", "-i", '{"text": "hi"}', "-w", "-q", "--target", target])).exitCode).toBe(0);
    const web = /web {3}(\S+)/.exec(stderr())?.[1] ?? "";
    expect(await (await fetch(`${web}/metrics`)).text()).toMatch(/^studio_frames_total\{text="hi"[^}]*\} 3$/m);
    interrupt();
    expect(await serving).toBe(0);
  });

  it("tells its addresses as JSON, without those of ports that are off", async () => {
    const { io, stdout, stderr, seen, interrupt } = createIo();
    const serving = runCli(onFreePorts("--json"), io);
    await seen(/\n/);
    expect(jsonLines(stdout())).toEqual([{ grpc: { host: "127.0.0.1", port: expect.any(Number) } }]);
    expect(stderr()).toBe("");
    interrupt();
    expect(await serving).toBe(0);
  });

  it("keeps its runs for the next start", async () => {
    const ids: string[] = [];
    for (const round of [1, 2]) {
      const { io, stderr, seen, interrupt } = createIo();
      const serving = runCli(onFreePorts("--handlers", handlers), io);
      await seen(/gRPC/);
      const env = { RETAKE_TARGET: /gRPC {2}(\S+)/.exec(stderr())?.[1] ?? "" };
      if (round === 1) ids.push((await retake(["run", "Plain"], { env })).stdout.trimEnd());
      else expect((await retake(["runs", "list"], { env })).stdout).toContain(ids[0]);
      interrupt();
      await serving;
    }
  });

  it("is a gateway without code: --backend, by its reflection", async () => {
    const contract = await compileFilm(`rpc Render(RenderRequest) returns (RenderResponse); }
      message RenderRequest { string scene = 1; } message RenderResponse { string film = 1; }`);
    const backend = await startFilmBackend(contract, ({ scene }) => ({ film: `film of ${scene}` }), {
      reflection: ["v1"],
    });
    const { io, stderr, seen, interrupt } = createIo();
    const target = `localhost:${backend.port}`;
    const serving = runCli(onFreePorts("--backend", target, "--workflow", "film.v1.FilmService/Render"), io);
    await seen(/^ {6}film\.v1\.FilmService\/Render$/m);
    const env = { RETAKE_TARGET: /gRPC {2}(\S+)/.exec(stderr())?.[1] ?? "" };
    const { stdout } = await retake(["run", "Render", "-i", '{"scene": "sunset"}', "-w", "-q"], { env });
    expect(JSON.parse(stdout)).toEqual({ film: "film of sunset" });
    interrupt();
    expect(await serving).toBe(0);

    const unnamed = await retake(onFreePorts("--backend", target));
    expect(unnamed.exitCode).toBe(2);
    expect(unnamed.stderr).toContain("film.v1.FilmService/Render: {}");
  });

  it("says what to do about a back-end without reflection", async () => {
    const contract = await compileFilm(
      "rpc Render(In) returns (Out); } message In { string scene = 1; } message Out { string film = 1; }",
    );
    const { port } = await startFilmBackend(contract, () => ({}));
    const { exitCode, stderr } = await retake(onFreePorts("--backend", `dns:///localhost:${port}`));
    expect(exitCode).toBe(6);
    expect(stderr).toMatch(/^retake: the back-end dns:\/\/\/localhost:\d+ does not answer gRPC reflection/);
    expect(stderr).not.toContain("    at ");
  });

  it.each([0, 300])("waits for a back-end until it is interrupted, after %i ms", async (afterMs) => {
    const contract = await compileFilm(
      "rpc Render(In) returns (Out); } message In { string scene = 1; } message Out { string film = 1; }",
    );
    const { port, stop } = await startFilmBackend(contract, () => ({}));
    await stop();
    const { io, stderr, interrupt } = createIo();
    const serving = runCli(onFreePorts("--backend", `localhost:${port}`), io);
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    interrupt();
    expect(await serving).toBe(130);
    expect(stderr()).toBe("retake: interrupted\n");
  });

  it("reads descriptor sets and its configuration anew when it is hung up on, and says when it cannot", async () => {
    const old = await compileFilm(`rpc Render(In) returns (Out) { option (retake.v1.workflow) = {}; } }
      message In { string scene = 1; } message Out { string film = 1; }`);
    const grown = await compileFilm(`rpc Render(In) returns (Out) { option (retake.v1.workflow) = {}; }
      rpc Cut(In) returns (Out); } message In { string scene = 1; } message Out { string film = 1; }`);
    const file = contractFile();
    file.write(old);
    const { target } = await startFilmBackend(grown, ({ scene }) => ({ film: `film of ${scene}` }));
    const head = `log: { level: silent }\nsecurity: { anonymous_level: ACCESS_LEVEL_ADMIN }\nbackends: [{ service: film.v1.FilmService, endpoints: [{ target: "${target}" }] }]\n`;
    const config = await fileWith("gateway.yaml", head);
    const { io, stderr, seen, interrupt, hangUp } = createIo();
    const flags = ["--grpc-port", "0", "--web-port", "off", "--data", join(directory, "data")];
    const serving = runCli(["serve", "--config", config, "--contracts", file.path, ...flags], io);
    await seen(/FilmService\/Render/);
    const env = { RETAKE_TARGET: /gRPC {2}(\S+)/.exec(stderr())?.[1] ?? "" };

    file.write(grown);
    await fileWith("gateway.yaml", `${head}workflows: { film.v1.FilmService/Cut: {} }\n`);
    hangUp();
    await expect.poll(async () => (await retake(["workflows"], { env })).stdout).toContain("film.v1.FilmService/Cut");
    // What is wrong stands in the log alone, which is silent here.
    const before = stderr();
    await fileWith("gateway.yaml", "grpc: { prot: 1 }\n");
    hangUp();
    await fileWith("gateway.yaml", head);
    hangUp();
    await expect.poll(async () => (await retake(["workflows"], { env })).stdout).not.toContain("FilmService/Cut");
    expect(stderr()).toBe(before);
    interrupt();
    expect(await serving).toBe(0);
  });

  it("names what is wrong in its configuration, with the line", async () => {
    const config = await fileWith("bad.yaml", "grpc:\n  prot: 1\n");
    const { exitCode, stderr } = await retake(["serve", "--config", config]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`retake: ${config}:2:3: grpc: unknown key "prot". Did you mean "port"?`);
    expect(stderr).not.toContain("    at ");
  });

  it.each([
    [["--config", "/nowhere/retake.yaml"], "there is no such file"],
    [["--grpc-port", "70000"], '--grpc-port: "70000" is no port; give one from 1 to 65535, 0 for a free one, or off'],
    [["--web-port", "x"], '--web-port: "x" is no port'],
    [["--grpc-port", "off", "--web-port", "off"], "both ports are off"],
    [["--handlers", "./nowhere.ts"], "--handlers: there is no module ./nowhere.ts here"],
    [["--handlers", "no-such-package"], "--handlers: there is no module no-such-package here"],
    [["--backend", "https://gpu:1"], 'write "dns:///gpu:1", and tls: {}'],
    [["--contracts", "/nowhere/film.binpb"], "/nowhere/film.binpb: cannot be read: there is no such file"],
    [["--workflow", "film"], "the key"],
    [["now"], '"now" is one argument too many'],
  ])("refuses %j", async (flags, message) => {
    const { exitCode, stderr } = await retake(["serve", ...flags]);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });

  it.each([
    [
      "throws.mjs",
      "throw new Error('out of cards')",
      6,
      /throws\.mjs cannot be loaded: Error: out of cards\n +at .*throws\.mjs:1/,
    ],
    ["syntax.mjs", "export default (", 6, /syntax\.mjs cannot be loaded: \S/],
    [
      "empty.mjs",
      "export const x = 1",
      2,
      /empty\.mjs exports no function to call: export default function register\(server\)/,
    ],
    [
      "fails.mjs",
      "export function register() { throw new Error('no GPU') }",
      6,
      /fails\.mjs: Error: no GPU\n +at register/,
    ],
    ["late.mjs", "export default async () => { throw new Error('no GPU') }", 6, /late\.mjs: Error: no GPU/],
  ])("says what is wrong with a module: %s", async (name, content, exitCode, message) => {
    const { exitCode: exited, stderr } = await retake(onFreePorts("--handlers", await fileWith(name, content)));
    expect(stderr).toMatch(message);
    expect(exited).toBe(exitCode);
  });

  it("says without a stack that its port is in use, or its directory another server's", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as { port: number };
    const inUse = await retake(inDirectory("--grpc-port", String(port), "--web-port", "off"));
    expect(inUse.exitCode).toBe(6);
    expect(inUse.stderr).toMatch(/^retake: .*the port is in use/);
    expect(inUse.stderr).not.toContain("    at ");
    await new Promise((resolve) => taken.close(resolve));

    const { io, seen, interrupt } = createIo();
    const serving = runCli(onFreePorts(), io);
    await seen(/gRPC/);
    const locked = await retake(onFreePorts());
    expect(locked.exitCode).toBe(6);
    expect(locked.stderr).not.toContain("    at ");
    interrupt();
    await serving;
  });
});

describe("the first start of retake serve", () => {
  beforeEach(() => writeFile(quiet, "log: { level: silent }\n"));

  /** What a start prints, once it listens, and which of its log lines name a key. */
  async function start(...argv: string[]) {
    const { io, stdout, stderr, seen, interrupt } = createIo();
    const serving = runCli(onFreePorts("--handlers", handlers, ...argv), io);
    await seen(/"grpc"|gRPC/);
    const printed = { stdout: stdout(), stderr: stderr() };
    const target = /gRPC {2}(\S+)/.exec(printed.stderr)?.[1] ?? "";
    const stop = async () => {
      interrupt();
      await serving;
    };
    return { ...printed, target, stop, key: /^Admin key {2}(\S+)$/m.exec(printed.stderr)?.[1] };
  }
  const keyFile = () => join(directory, "data", "admin.key");
  const list = (target: string, env: Record<string, string>) => retake(["keys", "list", "--target", target], { env });

  it("makes an admin key, tells it once, and keeps a copy that only its user reads", async () => {
    const first = await start();
    expect(first.key).toMatch(/^rtk_/);
    expect(first.stderr).toContain(`finds a copy in ${keyFile()}.`);
    expect(await readFile(keyFile(), "utf8")).toBe(`${first.key}\n`);
    expect((await stat(keyFile())).mode & 0o777).toBe(0o600);
    expect((await list(first.target, { RETAKE_API_KEY: first.key ?? "" })).stdout).toContain("ADMIN");
    await first.stop();
    const second = await start();
    expect([second.key, second.stderr.includes("rtk_")]).toEqual([undefined, false]);
    expect((await list(second.target, { RETAKE_API_KEY: first.key ?? "" })).exitCode).toBe(0);
    await second.stop();
  });

  it("keeps the copy to the key that is taken: another after a rotation, none after a revocation", async () => {
    const { target, key = "", stop } = await start();
    const as = (apiKey: string) => ({ env: { RETAKE_API_KEY: apiKey } });
    const at = ["--target", target];
    const rotated = await retake(["keys", "rotate", key.split("_")[1] ?? "", "--overlap", "0s", ...at], as(key));
    const next = rotated.stdout.trimEnd();
    expect(await readFile(keyFile(), "utf8")).toBe(`${next}\n`);
    const other = (await retake(["keys", "create", "ops", "--level", "admin", ...at], as(next))).stdout.trimEnd();
    await retake(["keys", "revoke", next.split("_")[1] ?? "", ...at], as(other));
    await expect(stat(keyFile())).rejects.toThrow("ENOENT");
    await stop();
  });

  it("makes another when it is asked to, for those who have lost theirs", async () => {
    const first = await start();
    await first.stop();
    const second = await start("--new-admin-key");
    expect(second.key).toMatch(/^rtk_/);
    expect(second.key).not.toBe(first.key);
    expect((await list(second.target, { RETAKE_API_KEY: second.key ?? "" })).exitCode).toBe(0);
    await second.stop();
  });

  it("prints no key as JSON, where it would be kept with the logs", async () => {
    const { stdout, stderr, stop } = await start("--json");
    expect(stdout + stderr).not.toContain("rtk_");
    expect(await readFile(keyFile(), "utf8")).toMatch(/^rtk_/);
    await stop();
  });

  it.each([
    ["it is told not to", "security: { api_keys: { bootstrap: false } }"],
    ["it takes no keys", "security: { api_keys: { disabled: true } }"],
    ["everybody is ADMIN anyway", "security: { anonymous_level: ACCESS_LEVEL_ADMIN }"],
  ])("makes none where %s", async (_, yaml) => {
    await writeFile(quiet, `log: { level: silent }\n${yaml}\n`);
    const { stderr, stop } = await start();
    expect(stderr).not.toContain("rtk_");
    await expect(stat(keyFile())).rejects.toThrow("ENOENT");
    await stop();
  });

  it("refuses addresses that others reach without TLS, and says what to do", async () => {
    await writeFile(quiet, 'log: { level: silent }\ngrpc: { host: "0.0.0.0" }\n');
    const refused = await retake(onFreePorts());
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain('"0.0.0.0" is reached by other machines');
    expect(refused.stderr).toContain("security: { allow_plaintext: true }");
    expect(refused.stderr).not.toContain("    at ");
  });
});
