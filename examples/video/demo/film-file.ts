import { access, constants, mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, extname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { CliError, UsageError } from "../../../src/cli/cli-error.ts";
import { durationMs, showDuration } from "../../../src/cli/display/times.ts";
import { ExitCode } from "../../../src/cli/exit-code.ts";
import { type Video, VideoFormat } from "../gen/storycore/video/v1/video_service_pb.js";
import { callerDirectory } from "./options.ts";

/** Where a film goes. */
export interface FilmFile {
  /** Without the extension that the film's kind will give it, unless `format` is set. */
  readonly path: string;
  /** What the file's name demands, absent where it leaves that open. */
  readonly format?: VideoFormat;
}

const name = "the-paper-boat";
/** Ignored by git, like everything that is made here. */
const defaultDirectory = fileURLToPath(new URL("../../../build", import.meta.url));

/** @throws UsageError when no film could be saved there, before anybody has waited for one */
export async function planFilmFile(out: string | undefined): Promise<FilmFile> {
  if (out === undefined) await mkdir(defaultDirectory, { recursive: true }).catch(() => {});
  const place = out ?? `${defaultDirectory}/`;
  const isDirectory = place.endsWith("/") || ((await stat(place).catch(() => undefined))?.isDirectory() ?? false);
  const path = isDirectory ? join(place, name) : place;
  await access(dirname(path), constants.W_OK).catch((cause: Error) => {
    throw new UsageError(`the film cannot be saved: ${cause.message}\nName another place with --out.`, { cause });
  });
  if (isDirectory) return { path };
  switch (extname(path).toLowerCase()) {
    case ".mp4":
      return { path, format: VideoFormat.MP4 };
    case ".webp":
      return { path, format: VideoFormat.WEBP };
    case "":
      return { path };
    default:
      throw new UsageError(`--out: a film is an .mp4 or a .webp, not a "${extname(path)}"`);
  }
}

/** Saves the film, whole or not at all, and returns where. @throws CliError when it cannot be written */
export async function saveFilm(
  { path, format }: FilmFile,
  { mediaType }: Video,
  content: AsyncIterable<Uint8Array>,
): Promise<string> {
  const file = format === undefined ? `${path}.${mediaType === "video/mp4" ? "mp4" : "webp"}` : path;
  const part = `${file}.part`;
  try {
    await writeFile(part, content);
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    throw new CliError(`the film cannot be saved: ${(error as Error).message}`, ExitCode.refused, { cause: error });
  }
  return file;
}

/** A path as the caller would write it: the shorter way. */
export function shownPath(path: string): string {
  const fromCaller = relative(callerDirectory, path);
  return fromCaller.length < path.length && !fromCaller.startsWith("../..") ? fromCaller : path;
}

/** How long it is, and how large. */
export function describeFilm({ artifact, width, height, duration, mediaType }: Video): string {
  const length = duration === undefined ? "" : `${showDuration(durationMs(duration))} of `;
  const kind = mediaType === "image/webp" ? ", animated for any browser" : "";
  return `${length}${width} x ${height}, ${Math.ceil(Number(artifact?.size ?? 0n) / 1024)} KiB${kind}`;
}
