import { type ChildProcess, spawn } from "node:child_process";
import { readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { makeScratchDirectory } from "../scratch-directory.ts";
import { EncoderError, EncoderMissingError, FilmTooLargeError } from "./errors.ts";
import type { FrameFormat } from "./scene.ts";

/** How a film is encoded. */
export interface Mp4Options extends FrameFormat {
  readonly frames: number;
  readonly maxBytes: number;
  /** The program, looked up on the PATH. */
  readonly ffmpeg: string;
  readonly signal: AbortSignal;
}

/** A process group of its own, which can be ended as a whole. */
const ownGroup = { detached: process.platform !== "win32" } as const;

/** Raw frames that may wait for ffmpeg: enough for both to work at once, little enough to forget about. */
const framesAhead = 4;

/** How much of what ffmpeg writes to stderr is kept for an error. */
const stderrTailBytes = 4096;

/** Whether the program exists and can encode H.264 by x264. Asked anew each time, so that installing it needs no restart. */
export async function canEncodeMp4(ffmpeg: string, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const child = spawn(ffmpeg, ["-hide_banner", "-loglevel", "error", "-encoders"], {
    ...ownGroup,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const ended = endOf(child);
  const stop = killOnAbort(child, signal);
  let listing = "";
  try {
    for await (const chunk of child.stdout) listing += chunk;
    const { code } = await ended;
    signal.throwIfAborted();
    return code === 0 && /\blibx264\b/.test(listing);
  } finally {
    stop();
  }
}

/**
 * Encodes raw RGB frames as H.264 in an MP4 that starts playing before it has been loaded. Frames are pulled only as fast as
 * ffmpeg takes them; `open` is called a second time, with the bit rate bounded, when the first result is too large. However
 * it ends, the process has ended and its file is gone.
 */
export async function encodeMp4(open: () => AsyncIterable<Uint8Array>, options: Mp4Options): Promise<Uint8Array> {
  const { frames, fps, maxBytes, width, height, signal } = options;
  signal.throwIfAborted();
  const directory = await makeScratchDirectory("animatic");
  try {
    const file = join(directory, "film.mp4");
    const bitsPerSecond = Math.floor((maxBytes * 8 * 0.85 * fps) / frames);
    for (const rate of [["-crf", "21"], boundedRate(bitsPerSecond)]) {
      await runEncoder(open(), file, rate, options);
      const { size } = await stat(file);
      if (size <= maxBytes) return await readFile(file, { signal });
    }
    throw new FilmTooLargeError(
      `The film, ${frames} frames of ${width} x ${height}, does not fit into ${maxBytes} bytes as MP4: make it shorter, or its frames smaller or fewer.`,
    );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function boundedRate(bitsPerSecond: number): string[] {
  return ["-b:v", `${bitsPerSecond}`, "-maxrate", `${bitsPerSecond}`, "-bufsize", `${bitsPerSecond}`];
}

async function runEncoder(
  frames: AsyncIterable<Uint8Array>,
  file: string,
  rate: readonly string[],
  { ffmpeg, width, height, fps, signal }: Mp4Options,
): Promise<void> {
  const input = [
    "-f",
    "rawvideo",
    "-pixel_format",
    "rgb24",
    "-video_size",
    `${width}x${height}`,
    "-framerate",
    `${fps}`,
  ];
  const colours = ["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"];
  const tags = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"];
  // Two threads: the server needs the other cores, and the bytes do not depend on how many the machine has.
  const codec = ["-c:v", "libx264", "-preset", "veryfast", "-tune", "animation", "-threads", "2", ...rate];
  const container = ["-movflags", "+faststart", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-f", "mp4"];
  const child = spawn(
    ffmpeg,
    [
      "-hide_banner",
      "-loglevel",
      "error",
      "-nostdin",
      "-y",
      ...input,
      "-i",
      "pipe:0",
      ...colours,
      ...tags,
      ...codec,
      ...container,
      file,
    ],
    { ...ownGroup, stdio: ["pipe", "ignore", "pipe"] },
  );
  const ended = endOf(child);
  const stop = killOnAbort(child, signal);
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-stderrTailBytes);
  });
  let failure: unknown;
  try {
    await pipeline(Readable.from(frames, { highWaterMark: framesAhead }), child.stdin, { signal });
  } catch (error) {
    failure = error;
    // Frames are missing: what ffmpeg makes of the others is of no use. Unless it has ended by itself, which is the reason.
    if (!isBrokenPipe(error)) kill(child);
  }
  try {
    const { code, killedBy, missing } = await ended;
    signal.throwIfAborted();
    if (missing !== undefined) throw missing;
    if (failure !== undefined && !isBrokenPipe(failure)) throw failure;
    if (code !== 0) {
      const how = killedBy === null ? `exit code ${code}` : `signal ${killedBy}`;
      throw new EncoderError(`${ffmpeg} failed with ${how}: ${complaint.trim() || "it wrote nothing to stderr"}`);
    }
    if (failure !== undefined) throw new EncoderError(`${ffmpeg} stopped reading before the last frame.`);
  } finally {
    stop();
  }
}

interface End {
  readonly code: number | null;
  readonly killedBy: NodeJS.Signals | null;
  /** Set when the program could not be started. */
  readonly missing?: EncoderMissingError;
}

/** Settles once the process is gone and its streams are closed; never rejects. */
async function endOf(child: ChildProcess): Promise<End> {
  let missing: EncoderMissingError | undefined;
  child.once("error", (cause) => {
    missing = new EncoderMissingError(`${child.spawnfile} cannot be started: ${cause.message}`, { cause });
  });
  // Writing to a process that is gone ends the pipeline too, whose error is the one that counts.
  child.stdin?.on("error", () => {});
  const [code, killedBy] = (await new Promise((resolve) => {
    child.once("close", (...end) => resolve(end));
  })) as [number | null, NodeJS.Signals | null];
  return missing === undefined ? { code, killedBy } : { code, killedBy, missing };
}

function killOnAbort(child: ChildProcess, signal: AbortSignal): () => void {
  const onAbort = () => kill(child);
  signal.addEventListener("abort", onAbort, { once: true });
  return () => signal.removeEventListener("abort", onAbort);
}

/** Ends the process and those it has started: where ffmpeg is a wrapper script, the encoder is its child. */
function kill(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    if (ownGroup.detached) process.kill(-child.pid, "SIGKILL");
    else child.kill("SIGKILL");
  } catch {
    // It has just ended by itself.
  }
}

function isBrokenPipe(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code;
  return (
    code === "EPIPE" ||
    code === "ERR_STREAM_PREMATURE_CLOSE" ||
    code === "ECONNRESET" ||
    code === "ERR_STREAM_DESTROYED"
  );
}
