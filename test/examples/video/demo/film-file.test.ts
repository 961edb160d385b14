import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { planFilmFile, saveFilm, shownPath } from "../../../../examples/video/demo/film-file.ts";
import { VideoFormat, VideoSchema } from "../../../../examples/video/gen/storycore/video/v1/video_service_pb.js";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "film-file-test-"));
});

afterEach(() => rm(directory, { recursive: true, force: true }));

const mp4 = create(VideoSchema, { mediaType: "video/mp4" });
const webp = create(VideoSchema, { mediaType: "image/webp" });

async function* content(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

describe("planFilmFile", () => {
  it("asks for what the file's name promises", async () => {
    const [one, two] = [join(directory, "a.mp4"), join(directory, "a.WebP")];
    expect(await planFilmFile(one)).toEqual({ path: one, format: VideoFormat.MP4 });
    expect(await planFilmFile(two)).toEqual({ path: two, format: VideoFormat.WEBP });
  });

  it("leaves the format open without an extension, in a directory, and by default, where git does not look", async () => {
    expect(await planFilmFile(join(directory, "film"))).toEqual({ path: join(directory, "film") });
    expect(await planFilmFile(directory)).toEqual({ path: join(directory, "the-paper-boat") });
    await mkdir(join(directory, "films.2026"));
    expect(await planFilmFile(join(directory, "films.2026"))).toEqual({
      path: join(directory, "films.2026", "the-paper-boat"),
    });
    expect((await planFilmFile(undefined)).path).toMatch(/\/build\/the-paper-boat$/);
    expect(await readFile(new URL("../../../../.gitignore", import.meta.url), "utf8")).toMatch(/^build\/$/m);
  });

  it("refuses what no film can be saved to, before one is made", async () => {
    await expect(planFilmFile(join(directory, "film.avi"))).rejects.toThrow(/an \.mp4 or a \.webp, not a "\.avi"/);
    await expect(planFilmFile(join(directory, "nowhere", "film.mp4"))).rejects.toThrow(/cannot be saved.*nowhere/);
    await expect(planFilmFile(`${join(directory, "nowhere")}/`)).rejects.toThrow(/cannot be saved.*nowhere/);
  });
});

describe("saveFilm", () => {
  it("gives the file its extension, and overwrites what was there", async () => {
    const file = join(directory, "film");
    await writeFile(`${file}.mp4`, "an older and much longer film");
    expect(await saveFilm({ path: file }, mp4, content("film"))).toBe(`${file}.mp4`);
    expect(await saveFilm({ path: file }, webp, content("pictures"))).toBe(`${file}.webp`);
    expect(await saveFilm({ path: `${file}.webp`, format: VideoFormat.WEBP }, webp, content("pictures"))).toBe(
      `${file}.webp`,
    );
    expect(await readFile(`${file}.mp4`, "utf8")).toBe("film");
    expect(await readFile(`${file}.webp`, "utf8")).toBe("pictures");
    expect((await readdir(directory)).sort()).toEqual(["film.mp4", "film.webp"]);
  });

  it("says so when it cannot, and leaves no half a film", async () => {
    await mkdir(join(directory, "film.mp4"));
    await expect(saveFilm({ path: join(directory, "film") }, mp4, content("film"))).rejects.toThrow(
      /^the film cannot be saved: EISDIR/,
    );
    expect(await readdir(directory)).toEqual(["film.mp4"]);
  });
});

it("shows the shorter of a path's two forms", () => {
  expect(shownPath(join(process.cwd(), "build", "film.mp4"))).toBe("build/film.mp4");
  expect(shownPath("/film.mp4")).toBe("/film.mp4");
});
