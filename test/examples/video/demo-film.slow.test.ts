import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { findTool, requireTool } from "../../tools.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** What the demo may leave its things in, and what it is given. */
let temporary: string;
let work: string;

beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), "demo-test-"));
  temporary = join(work, "tmp");
  await mkdir(temporary);
});

afterEach(() => rm(work, { recursive: true, force: true }));

/** Two scenes of three small frames. */
async function tinyStoryboard(changes: object = {}): Promise<string> {
  const scene = { title: "A", duration: "0.3s" };
  const file = join(work, "story.json");
  await writeFile(file, JSON.stringify({ width: 64, height: 64, fps: 10, scenes: [scene, scene], ...changes }));
  return file;
}

interface Demo {
  readonly process: ChildProcess;
  readonly output: { text: string };
  readonly errors: { text: string };
  readonly exitCode: Promise<number | null>;
}

/** Starts what `npm run demo -- …` starts. */
async function startDemo(flags: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Demo> {
  const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const [node, ...script] = (manifest.scripts.demo as string).split(" ");
  expect(node).toBe("node");
  const child = spawn(process.execPath, [...script, ...flags], {
    cwd: root,
    env: { ...process.env, TMPDIR: temporary, INIT_CWD: work, npm_lifecycle_event: "demo", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const collected = (stream: NodeJS.ReadableStream | null) => {
    const seen = { text: "" };
    stream?.setEncoding("utf8").on("data", (text: string) => {
      seen.text += text;
    });
    return seen;
  };
  return {
    process: child,
    output: collected(child.stdout),
    errors: collected(child.stderr),
    exitCode: once(child, "close").then(([code]) => code as number | null),
  };
}

/** Waits until the demo has said something; a demo that has ended will not any more. */
async function says({ process: child, output, errors }: Demo, text: string | RegExp): Promise<void> {
  const heard = vi.waitFor(() => expect(output.text).toMatch(text), { timeout: 45_000, interval: 50 });
  await Promise.race([heard, once(child, "close")]);
  expect(output.text + errors.text).toMatch(text);
}

/** The command lines that a demo printed which begin like this, whole. */
function commandLines(output: string, program: string): string[] {
  const blocks = output.split(/\n\n|^#.*\n/m);
  return blocks.filter((block) => block.startsWith(`${program} `));
}

function shell(commandLine: string): string {
  const { stdout, stderr, status } = spawnSync("sh", ["-c", commandLine], { cwd: work, encoding: "utf8" });
  expect([stderr, status]).toEqual(["", 0]);
  return stdout;
}

describe("npm run demo", { timeout: 60_000 }, () => {
  it("saves the film, tells its history, and serves curl and grpcurl as printed until Ctrl-C", async (context) => {
    const curl = requireTool("curl", context);
    expect(curl).not.toBe("");
    const demo = await startDemo(["--keep", "--out", "film.webp", "--storyboard", await tinyStoryboard()]);
    await says(demo, "The server stays up until Ctrl-C.");
    const { text } = demo.output;
    expect(await sharp(join(work, "film.webp")).metadata()).toMatchObject({ format: "webp", pages: 6 });
    expect(text).toContain("A film of 2 scenes, one durable step each.");
    expect(text).toMatch(/^saved {4}film\.webp\n {9}600 ms of 64 x 64, \d+ KiB/m);
    expect(text).toMatch(/^ *1 +0\.00 s {2}accepted/m);
    expect(text).toMatch(/^ *\d+ +\d+\.\d\d s {2}step "scene-2" done after/m);
    expect(text).toMatch(/^ *\d+ +\d+\.\d\d s {2}succeeded/m);
    const runId = /^run +(\S+)$/m.exec(text)?.[1];

    const [start = "", get = "", film = ""] = commandLines(text, "curl");
    expect(shell(film)).toMatch(/^0000000/);
    expect(JSON.parse(shell(get))).toMatchObject({ run: { runId, state: "RUN_STATE_SUCCEEDED" } });
    const started = JSON.parse(shell(start));
    expect(started.run).toMatchObject({ workflow: "storycore.video.v1.VideoService/Animatic" });
    expect(started.run.runId).not.toBe(runId);

    const grpcurl = findTool("grpcurl");
    if (grpcurl.kind === "found") {
      const [call = ""] = commandLines(text, "grpcurl");
      expect(shell(call)).toMatch(/"video": \{\s+"mediaType": "(video\/mp4|image\/webp)"/);
    }

    // The run that curl has started is still being drawn.
    demo.process.kill("SIGINT");
    expect(await demo.exitCode).toBe(0);
    expect(demo.errors.text).toBe("");
    expect(await readdir(temporary)).toEqual([]);
  });

  it("tidies up when it is interrupted, whatever is under way", async () => {
    const bin = join(work, "bin");
    await mkdir(bin);
    const ffmpeg = join(bin, "ffmpeg");
    // Can encode, as it says, and then takes its time.
    await writeFile(
      ffmpeg,
      `#!/bin/sh\ncase "$*" in *-encoders*) echo ' V....D libx264';; *) echo $$ > ${work}/pid; exec sleep 60;; esac\n`,
    );
    await chmod(ffmpeg, 0o755);
    const demo = await startDemo(["--out", "film", "--storyboard", await tinyStoryboard()], {
      PATH: `${bin}:${process.env["PATH"]}`,
    });
    await says(demo, /^encoding/m);
    await vi.waitFor(async () => expect(await readFile(join(work, "pid"), "utf8")).toMatch(/\n/), 10_000);
    expect(await readdir(temporary)).toHaveLength(2);
    demo.process.kill("SIGINT");
    expect(await demo.exitCode).toBe(130);
    expect(demo.errors.text).toBe("demo: interrupted\n");
    expect(await readdir(temporary)).toEqual([]);
    expect((await readdir(work)).sort()).toEqual(["bin", "pid", "story.json", "tmp"]);
    const pid = (await readFile(join(work, "pid"), "utf8")).trim();
    const { stdout } = spawnSync("ps", ["-o", "stat=", "-p", pid], { encoding: "utf8" });
    expect(stdout.trim()).toMatch(/^(Z.*)?$/);
  });

  it("tells why there is no film, with the history, and leaves nothing behind", async () => {
    const image = Buffer.from("89504e470d0a1a0a0000000d49484452", "hex").toString("base64");
    const storyboard = await tinyStoryboard({ scenes: [{ title: "Harbour", image, duration: "0.3s" }] });
    const demo = await startDemo(["--out", work, "--storyboard", storyboard]);
    expect(await demo.exitCode).toBe(1);
    expect(demo.errors.text).toMatch(/^demo: run \S+ failed: STORYBOARD: The image of scene 1 \("Harbour"\) cannot/);
    expect(demo.output.text).toMatch(/^ *\d+ +\d+\.\d\d s {2}failed: STORYBOARD/m);
    expect((await readdir(work)).sort()).toEqual(["story.json", "tmp"]);
    expect(await readdir(temporary)).toEqual([]);
  });

  it("lists what is wrong with a storyboard", async () => {
    const demo = await startDemo(["--storyboard", await tinyStoryboard({ width: 65, fps: 1000 })]);
    expect(await demo.exitCode).toBe(2);
    expect(demo.errors.text).toMatch(/^demo: /);
    expect(demo.errors.text).toMatch(/width: must be even/);
    expect(demo.errors.text).toMatch(/fps/);
    expect(await readdir(temporary)).toEqual([]);
  });

  it("says what is wrong with a flag, and where help is", async () => {
    const demo = await startDemo(["--kep"]);
    expect(await demo.exitCode).toBe(2);
    expect(demo.errors.text).toMatch(/^demo: there is no flag --kep\..*--keep.*\n {2}Try: npm run demo -- --help\n$/);
    expect(demo.output.text).toBe("");
  });
});
