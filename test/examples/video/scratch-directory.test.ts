import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { makeScratchDirectory } from "../../../examples/video/scratch-directory.ts";

const host = hostname().replaceAll(/[^A-Za-z0-9]/g, "_");
let temporary: string;

beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), "scratch-test-"));
  vi.stubEnv("TMPDIR", temporary);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(temporary, { recursive: true, force: true });
});

/** The number of a process that has ended and been waited for. */
async function goneProcess(): Promise<number> {
  const child = spawn(process.execPath, ["--version"], { stdio: "ignore" });
  await once(child, "close");
  return child.pid as number;
}

it("makes a new directory each time, named after its purpose and its owner", async () => {
  const [one, two] = [await makeScratchDirectory("films"), await makeScratchDirectory("films")];
  expect(basename(one)).toMatch(new RegExp(`^films-${host}-${process.pid}-\\w{6}$`));
  expect(two).not.toBe(one);
  expect(await readdir(temporary)).toHaveLength(2);
});

it("removes what a killed process has left behind, with everything in it", async () => {
  const abandoned = join(temporary, `films-${host}-${await goneProcess()}-abc123`);
  await mkdir(join(abandoned, "deep"), { recursive: true });
  await writeFile(join(abandoned, "deep", "film.mp4"), "half a film");
  const made = await makeScratchDirectory("films");
  expect(await readdir(temporary)).toEqual([basename(made)]);
});

it("leaves alone what lives, what is of another purpose or machine, and what only looks alike", async () => {
  const gone = await goneProcess();
  const directories = [
    `films-${host}-${process.ppid}-abc123`,
    `songs-${host}-${gone}-abc123`,
    `films-elsewhere-${gone}-abc123`,
    `films-${host}-${gone}-abc123-kept`,
  ];
  for (const name of directories) await mkdir(join(temporary, name));
  await writeFile(join(temporary, `films-${host}-${gone}-file12`), "a file");
  await symlink(temporary, join(temporary, `films-${host}-${gone}-link12`));
  const made = await makeScratchDirectory("films");
  expect((await readdir(temporary)).sort()).toEqual(
    [...directories, `films-${host}-${gone}-file12`, `films-${host}-${gone}-link12`, basename(made)].sort(),
  );
});
