import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { EncoderError, EncoderMissingError, FilmTooLargeError } from "../../../../examples/video/animatic/errors.ts";
import { assembleFilm } from "../../../../examples/video/animatic/film.ts";
import { canEncodeMp4, encodeMp4 } from "../../../../examples/video/animatic/mp4.ts";
import { renderScene } from "../../../../examples/video/animatic/scene.ts";
import { describeWithTool } from "../../../tools.ts";
import { untilNoError } from "../../../until.ts";
import { flat, never, planOf } from "./support.ts";

let directory: string;
let temporary: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "mp4-test-"));
  temporary = await mkdtemp(join(directory, "tmp-"));
  vi.stubEnv("TMPDIR", temporary);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(directory, { recursive: true, force: true });
});

/** A program that stands in for ffmpeg; its process id is in the file `pid` beside it. */
async function program(script: string): Promise<string> {
  const file = join(directory, "ffmpeg");
  await writeFile(file, `#!/bin/sh\necho $$ > ${directory}/pid\n${script}\n`);
  await chmod(file, 0o755);
  return file;
}

/** Whether the process whose id is in this file lives; one that nobody has waited for yet is a zombie, and does not. */
async function isRunning(file = "pid"): Promise<boolean> {
  const pid = (await readFile(join(directory, file), "utf8")).trim();
  const { stdout } = spawnSync("ps", ["-o", "stat=", "-p", pid], { encoding: "utf8" });
  return stdout.trim() !== "" && !stdout.trim().startsWith("Z");
}

function started(): Promise<void> {
  return untilNoError(async () => expect(await isRunning()).toBe(true), { timeout: 5_000 });
}

const format = { width: 64, height: 64, fps: 10, frames: 30, maxBytes: 1_000_000 };

/** Frames that count how many of them were pulled and whether their source was closed. */
function frameSource(count: number, onFrame: (index: number) => unknown = () => {}) {
  const seen = { pulled: 0, closed: false };
  const open = async function* () {
    try {
      for (let index = 0; index < count; index++) {
        seen.pulled += 1;
        await onFrame(index);
        yield flat(64, 64, [index * 8, 100, 200]).data;
      }
    } finally {
      seen.closed = true;
    }
  };
  return { seen, open };
}

describe("encodeMp4", () => {
  it("tells what ffmpeg complained about when it fails", async () => {
    const ffmpeg = await program("cat > /dev/null; seq 1 5000 >&2; echo 'no space left' >&2; exit 3");
    const work = encodeMp4(frameSource(30).open, { ...format, ffmpeg, signal: never });
    await expect(work).rejects.toThrow(EncoderError);
    await expect(work).rejects.toThrow(/failed with exit code 3: [\d\n]{1,4096}no space left$/);
    expect(await readdir(temporary)).toEqual([]);
  });

  it("tells so when ffmpeg stops early, with or without an error, and closes the frames", async () => {
    const early = frameSource(5000);
    const ffmpeg = await program("echo 'broken input' >&2; exit 1");
    await expect(encodeMp4(early.open, { ...format, ffmpeg, signal: never })).rejects.toThrow(
      /failed with exit code 1: broken input/,
    );
    expect(early.seen.closed).toBe(true);
    const quiet = await program("exit 0");
    await expect(encodeMp4(frameSource(5000).open, { ...format, ffmpeg: quiet, signal: never })).rejects.toThrow(
      /stopped reading before the last frame/,
    );
    expect(await readdir(temporary)).toEqual([]);
  });

  it("tells so when ffmpeg cannot be started", async () => {
    const work = encodeMp4(frameSource(3).open, { ...format, ffmpeg: join(directory, "nothing"), signal: never });
    await expect(work).rejects.toThrow(EncoderMissingError);
    expect(await readdir(temporary)).toEqual([]);
  });

  it("pulls no more frames than ffmpeg reads", async () => {
    const source = frameSource(5000);
    const controller = new AbortController();
    const ffmpeg = await program("exec sleep 60");
    const work = encodeMp4(source.open, { ...format, ffmpeg, signal: controller.signal });
    work.catch(() => {});
    await started();
    await untilNoError(() => expect(source.seen.pulled).toBeGreaterThan(5));
    await new Promise((resolve) => setImmediate(resolve));
    // The pipe to a process holds some 200 KB, so 17 of these frames, and the stream four more.
    expect(source.seen.pulled).toBeLessThan(40);
    controller.abort(new Error("enough"));
    await expect(work).rejects.toThrow("enough");
  });

  it("leaves neither a process nor a file when it is aborted", async () => {
    const controller = new AbortController();
    const ffmpeg = await program(`trap '' TERM INT; sleep 60 & echo $! > ${directory}/child; cat > /dev/null; wait`);
    const source = frameSource(1000, async (index) => {
      if (index !== 10) return;
      await started();
      controller.abort(new Error("enough"));
    });
    await expect(encodeMp4(source.open, { ...format, ffmpeg, signal: controller.signal })).rejects.toThrow("enough");
    expect(source.seen.pulled).toBeLessThan(40);
    expect(source.seen.closed).toBe(true);
    expect(await readdir(temporary)).toEqual([]);
    expect(await isRunning()).toBe(false);
    expect(await isRunning("child")).toBe(false);
    await expect(encodeMp4(source.open, { ...format, ffmpeg, signal: controller.signal })).rejects.toThrow("enough");
  });

  it("leaves neither when a frame cannot be drawn", async () => {
    const ffmpeg = await program("exec cat > /dev/null");
    const source = frameSource(30, async (index) => {
      if (index !== 10) return;
      await started();
      throw new Error("out of paint");
    });
    await expect(encodeMp4(source.open, { ...format, ffmpeg, signal: never })).rejects.toThrow("out of paint");
    expect(await readdir(temporary)).toEqual([]);
    expect(await isRunning()).toBe(false);
  });

  it("tries once more with the rate bounded when the file is too large, then gives up", async () => {
    // Writes as many bytes as the first call is told not to, and counts the calls.
    const ffmpeg = await program(
      `cat > /dev/null; for last; do :; done; echo "$*" >> ${directory}/calls; head -c 2000 /dev/zero > "$last"`,
    );
    const work = encodeMp4(frameSource(30).open, { ...format, maxBytes: 1000, ffmpeg, signal: never });
    await expect(work).rejects.toThrow(FilmTooLargeError);
    const calls = (await readFile(join(directory, "calls"), "utf8")).trim().split("\n");
    expect(calls).toHaveLength(2);
    expect(calls[0]).toContain("-crf 21");
    expect(calls[1]).toContain("-b:v 2266 -maxrate 2266");
    expect(await readdir(temporary)).toEqual([]);
  });
});

describe("canEncodeMp4", () => {
  it("wants libx264 among the encoders", async () => {
    expect(await canEncodeMp4(await program("echo ' V....D libx264  H.264'"), never)).toBe(true);
    expect(await canEncodeMp4(await program("echo ' V....D libopenh264  H.264'"), never)).toBe(false);
    expect(await canEncodeMp4(await program("echo ' V....D libx264'; exit 1"), never)).toBe(false);
    expect(await canEncodeMp4(join(directory, "nothing"), never)).toBe(false);
  });

  it("does not wait for a program that hangs once it is aborted", async () => {
    const ffmpeg = await program("exec sleep 60");
    const controller = new AbortController();
    const answer = canEncodeMp4(ffmpeg, controller.signal);
    controller.abort(new Error("enough"));
    await expect(answer).rejects.toThrow("enough");
  });
});

describeWithTool("ffmpeg", "an MP4 by the real ffmpeg", () => {
  it("is H.264 for any player, with its index first, as long and as large as the plan says", async () => {
    const plan = planOf([{ backdrop: "storm", title: "A" }, { backdrop: "sea" }], { crossFadeMs: 200 });
    const clips = await Promise.all(plan.shots.map((shot) => renderScene(shot, plan, { signal: never })));
    const make = () => assembleFilm(plan, clips, { format: "auto", maxBytes: 1_000_000, signal: never });
    const [film, again] = [await make(), await make()];
    expect(film.mediaType).toBe("video/mp4");
    expect(Buffer.from(film.content).equals(again.content)).toBe(true);
    const file = join(directory, "film.mp4");
    await writeFile(file, film.content);
    const fields = "codec_name,pix_fmt,width,height,nb_read_frames,avg_frame_rate,color_space";
    const probe = ["-v", "error", "-count_frames", "-show_entries", `stream=${fields}`, "-of", "json", file];
    const { stdout } = spawnSync("ffprobe", probe, { encoding: "utf8" });
    expect(JSON.parse(stdout).streams).toEqual([
      {
        codec_name: "h264",
        pix_fmt: "yuv420p",
        width: 160,
        height: 90,
        nb_read_frames: "8",
        avg_frame_rate: "10/1",
        color_space: "bt709",
      },
    ]);
    const bytes = Buffer.from(film.content);
    expect(bytes.indexOf("moov")).toBeLessThan(bytes.indexOf("mdat"));
    expect(await readdir(temporary)).toEqual([]);
  });
});
