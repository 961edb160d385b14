import { mkdtempSync, rmSync } from "node:fs";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ExitCode } from "../../../src/cli/exit-code.ts";
import { connectRetake } from "../../../src/client/index.ts";
import { pattern, sha256 } from "../../runs/ports/artifacts-contract.ts";
import { type CliServer, jsonLines, retake, startServer } from "../harness.ts";

let directory: string;
let server: CliServer;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "retake-test-"));
  server = await startServer();
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

const cli = (...argv: string[]) => retake(["artifacts", ...argv], { env: server.env });
const path = (name: string): string => join(directory, name);

async function file(name: string, bytes: Uint8Array): Promise<string> {
  await writeFile(path(name), bytes);
  return path(name);
}

/** Uploads a file, and returns its id. */
async function put(...argv: string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await cli("put", ...argv);
  expect(stderr).not.toContain("retake:");
  expect(exitCode).toBe(ExitCode.ok);
  return stdout.trim();
}

describe("retake artifacts put", () => {
  it("uploads a file and prints its id alone, with its name and what its extension says", async () => {
    const bytes = pattern(700_000);
    const id = await put(await file("boat.png", bytes));

    expect(id).toMatch(/^[0-9a-f]{32}$/);
    const listed = jsonLines((await cli("list", "--json")).stdout);
    expect(listed).toEqual([
      expect.objectContaining({
        artifactId: id,
        name: "boat.png",
        mediaType: "image/png",
        size: "700000",
        sha256: Buffer.from(sha256(bytes)).toString("base64"),
      }),
    ]);
  });

  it("takes another name and type, and prints what came of it as JSON", async () => {
    const given = await file("data", pattern(10));
    const { stdout } = await cli("put", given, "--name", "film.mp4", "--media-type", "video/mp4", "--json");

    expect(jsonLines(stdout)).toEqual([expect.objectContaining({ name: "film.mp4", mediaType: "video/mp4" })]);
    expect(jsonLines((await cli("put", given, "--json")).stdout)[0]).toMatchObject({
      mediaType: "application/octet-stream",
    });
  });

  it("goes on with what an earlier call has left, and sends nothing that is there", async () => {
    const bytes = pattern(900_000);
    const given = await file("boat.png", bytes);
    using client = connectRetake({ target: server.env.RETAKE_TARGET });
    const id = await put(given);
    const { artifacts } = client;
    const uploads: number[] = [];
    const again = await artifacts.put(bytes, {
      ...{ name: "boat.png", mediaType: "image/png", sha256: sha256(bytes), uploadId: "mine" },
      onProgress: (sent) => uploads.push(sent),
    });
    expect(again.artifactId).toBe(id);
    uploads.length = 0;
    await artifacts.put(bytes, {
      ...{ name: "boat.png", mediaType: "image/png", sha256: sha256(bytes), uploadId: "mine" },
      onProgress: (sent) => uploads.push(sent),
    });
    expect(uploads).toEqual([]);
    expect(await put(given)).toBe(id);
  });

  it.each([
    ["a file that is not there", "none.png", "cannot be read"],
    ["a directory", "", "is no file"],
  ])("does not take %s", async (_, name, says) => {
    const { exitCode, stderr } = await cli("put", path(name));

    expect(exitCode).toBe(ExitCode.usage);
    expect(stderr).toContain(says);
  });

  it("says at once when there is no server", async () => {
    const given = await file("boat.png", pattern(10));
    const { exitCode, stderr } = await retake(["artifacts", "put", given], { env: { RETAKE_TARGET: "127.0.0.1:1" } });

    expect(exitCode).toBe(ExitCode.unreachable);
    expect(stderr).toContain("cannot reach the server");
  });
});

describe("retake artifacts get", () => {
  it("saves an artifact where it is told, and prints where", async () => {
    const bytes = pattern(700_000);
    const id = await put(await file("boat.png", bytes));
    const { stdout, exitCode } = await cli("get", id, "--output", path("copy.png"));

    expect(exitCode).toBe(ExitCode.ok);
    expect(stdout.trim()).toBe(path("copy.png"));
    expect(Buffer.compare(await readFile(path("copy.png")), bytes)).toBe(0);
    expect((await readdir(directory)).sort()).toEqual(["boat.png", "copy.png"]);
  });

  it("saves an empty one too", async () => {
    const id = await put(await file("empty", new Uint8Array()));
    await cli("get", id, "--output", path("copy"));

    expect(await readFile(path("copy"))).toHaveLength(0);
  });

  it("replaces no file unless it is told to", async () => {
    const given = await file("boat.png", pattern(10));
    const id = await put(given);
    await writeFile(given, "mine");
    const { exitCode, stderr } = await cli("get", id, "-o", given);
    expect(exitCode).toBe(ExitCode.usage);
    expect(stderr).toContain("--force");
    expect(await readFile(given, "utf8")).toBe("mine");

    expect((await cli("get", id, "-o", given, "--force")).exitCode).toBe(ExitCode.ok);
    expect(await readFile(given)).toHaveLength(10);
  });

  it("goes on with what an earlier call has left", async () => {
    const bytes = pattern(700_000);
    const id = await put(await file("boat.png", bytes));
    await writeFile(path(`copy.png.${id}.part`), bytes.subarray(0, 300_000));
    const { exitCode } = await cli("get", id, "-o", path("copy.png"));

    expect(exitCode).toBe(ExitCode.ok);
    expect(Buffer.compare(await readFile(path("copy.png")), bytes)).toBe(0);
  });

  it("does not take something else for the file, and begins anew the next time", async () => {
    const bytes = pattern(700_000);
    const id = await put(await file("boat.png", bytes));
    await writeFile(path(`copy.png.${id}.part`), pattern(300_000, 3));
    const wrong = await cli("get", id, "-o", path("copy.png"));
    expect(wrong.exitCode).toBe(ExitCode.refused);
    expect(wrong.stderr).toContain("SHA-256");
    await expect(stat(path("copy.png"))).rejects.toThrow("ENOENT");

    expect((await cli("get", id, "-o", path("copy.png"))).exitCode).toBe(ExitCode.ok);
    expect(Buffer.compare(await readFile(path("copy.png")), bytes)).toBe(0);
  });

  it("knows what is no id, and what is none of the server's", async () => {
    const nonsense = await cli("get", "../../x");
    expect(nonsense.exitCode).toBe(ExitCode.usage);
    expect(nonsense.stderr).toContain("is no artifact id");
    const unknown = await cli("get", "0".repeat(32), "-o", path("x"));
    expect(unknown.exitCode).toBe(ExitCode.notFound);
  });

  it("says when it cannot write there", async () => {
    const id = await put(await file("boat.png", pattern(10)));
    const { exitCode, stderr } = await cli("get", id, "-o", path("none/x.png"));

    expect(exitCode).toBe(ExitCode.refused);
    expect(stderr).toContain("cannot be written");
  });
});

describe("retake artifacts list", () => {
  it("shows the newest first, and how to see more", async () => {
    for (const name of ["a.png", "b.png", "c.png"]) await put(await file(name, pattern(2048)));
    const { stdout, stderr } = await cli("list", "--limit", "2");
    const [head, ...rows] = stdout.trimEnd().split("\n");

    expect(head).toMatch(/^ARTIFACT +STORED +SIZE +TYPE +NAME$/);
    expect(rows.map((row) => row.split(/\s{2,}/).slice(-3))).toEqual([
      ["2.0 KiB", "image/png", "c.png"],
      ["2.0 KiB", "image/png", "b.png"],
    ]);
    expect(stderr).toContain("--limit 10");
    expect(jsonLines((await cli("list", "--limit", "all", "--json")).stdout)).toHaveLength(3);
  });

  it("filters by owner and run", async () => {
    await put(await file("a.png", pattern(10)));

    expect((await cli("list", "--owner", "ada")).stderr).toContain("No artifacts match");
    expect(jsonLines((await cli("list", "--owner", "anonymous", "--json")).stdout)).toHaveLength(1);
    expect((await cli("list", "--run", "01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88")).stdout).toBe("");
    expect((await cli("list", "--run", "x")).exitCode).toBe(ExitCode.usage);
    expect((await cli("list", "--tenant", "x")).exitCode).toBe(ExitCode.usage);
  });
});

it("shows how far a transfer is on a terminal, and leaves nothing of that there", async () => {
  const given = await file("boat.png", pattern(900_000));
  const { stdout, exitCode } = await retake(["artifacts", "put", given], { env: server.env, isTTY: true });

  expect(exitCode).toBe(ExitCode.ok);
  expect(stdout).toContain("uploading");
  expect(stdout).toContain("of 879 KiB");
  expect(stdout.split("\u001b[?25h").at(-1)).toMatch(/^[0-9a-f]{32}\n$/);
});
