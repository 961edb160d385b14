import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  AnimaticResponseSchema,
  file_storycore_video_v1_video_service,
} from "../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import { parseOutputs, writeOutput } from "../../src/cli/output-file.ts";
import { bytesOf, contractsFrom, withImports } from "./reflecting.ts";

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "retake-cli-"));
});
afterAll(() => rm(directory, { recursive: true }));

const { contracts } = contractsFrom(() => withImports(file_storycore_video_v1_video_service).map(bytesOf));
const result = reflect(
  AnimaticResponseSchema,
  create(AnimaticResponseSchema, {
    update: {
      case: "video",
      value: { artifact: { sha256: new Uint8Array([1, 0, 255]) }, mediaType: "video/mp4", frames: 3 },
    },
  }),
);

async function save(field: string): Promise<Buffer> {
  const file = join(directory, "saved");
  for (const output of await parseOutputs([`${field}${file}`])) await writeOutput(output, result, contracts);
  return readFile(file);
}

describe("an output file", () => {
  it("gets the bytes or the text of a field, by either of its names", async () => {
    expect(await save("video.artifact.sha256=")).toEqual(Buffer.from([1, 0, 255]));
    expect((await save("video.media_type=")).toString()).toBe("video/mp4");
    expect((await save("video.mediaType=")).toString()).toBe("video/mp4");
  });

  it("gets a message as JSON, the whole result without a field", async () => {
    const video = { artifact: { sha256: "AQD/" }, mediaType: "video/mp4", frames: 3 };
    expect(JSON.parse((await save("")).toString())).toEqual({ video });
    expect(JSON.parse((await save("video=")).toString())).toEqual(video);
  });

  it("may have an equals sign in its name behind the field's, or in a path", async () => {
    expect(await parseOutputs(["video.artifact.sha256=a=b.mp4", "./a=b.json"])).toEqual([
      { path: ["video", "artifact", "sha256"], file: "a=b.mp4" },
      { path: [], file: "./a=b.json" },
    ]);
  });

  it.each([
    ["video.artifact.sha25=", 'retake.v1.Artifact has no field "sha25"'],
    ["video.artifact.sha25=", 'Did you mean "sha256"?'],
    ["video.frames=", "video.frames is no message: only bytes, texts and messages are saved"],
    ["video.artifact.sha256.more=", "video.artifact.sha256 is no message: it has no fields of its own"],
    ["progress.stage=", "the result has no progress"],
  ])("is refused for %s", async (field, message) => {
    await expect(save(field)).rejects.toThrow(message);
  });

  it("is refused before anything is started, where it cannot be written", async () => {
    await expect(parseOutputs([join(directory, "nowhere", "x")])).rejects.toThrow(
      /nowhere cannot be written to: ENOENT/,
    );
    await expect(parseOutputs(["video="])).rejects.toThrow("the file's name is missing");
    await expect(parseOutputs([""])).rejects.toThrow("the file's name is missing");
    const [output] = await parseOutputs([directory]);
    await expect(writeOutput(output as never, result, contracts)).rejects.toThrow("cannot be written: EISDIR");
  });

  it("replaces what was there", async () => {
    await writeFile(join(directory, "saved"), "something longer than three bytes");
    expect(await save("video.artifact.sha256=")).toHaveLength(3);
  });
});
