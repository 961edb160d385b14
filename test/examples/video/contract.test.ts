import { readFile } from "node:fs/promises";
import { create, createRegistry, fromJson, hasOption, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { workflow } from "retake/gen/retake/v1/options_pb.js";
import { describe, expect, it } from "vitest";
import {
  AnimaticRequestSchema,
  file_storycore_video_v1_video_service,
  ImageToVideoRequestSchema,
  TextToVideoRequestSchema,
  UpscaleRequestSchema,
  VideoService,
} from "../../../examples/video/gen/storycore/video/v1/video_service_pb.js";

const validator = createValidator({ registry: createRegistry(file_storycore_video_v1_video_service) });
const schemas = [TextToVideoRequestSchema, ImageToVideoRequestSchema, UpscaleRequestSchema, AnimaticRequestSchema];
const png = Buffer.from("89504e470d0a1a0a0000000d", "hex").toString("base64");

const artifactId = "0123456789abcdef0123456789abcdef";

/** As in "width: must be a multiple of 16", for a whole message without the path. */
function violationsOf(name: string, json: JsonValue): string[] {
  const schema = schemas.find((candidate) => candidate.name === name);
  if (schema === undefined) throw new Error(`there is no ${name}`);
  const result = validator.validate(schema, fromJson(schema, json));
  if (result.kind === "error") throw result.error;
  return (result.violations ?? []).map((violation) => violation.toString());
}

describe("the video contract", () => {
  it("makes every method a workflow that streams", () => {
    for (const method of VideoService.methods) {
      expect(hasOption(method, workflow), method.name).toBe(true);
      expect(method.methodKind, method.name).toBe("server_streaming");
    }
  });

  it("accepts the bundled storyboard, which fits into a message with room to spare", async () => {
    const file = new URL("../../../examples/video/storyboard.json", import.meta.url);
    const storyboard = fromJson(AnimaticRequestSchema, JSON.parse(await readFile(file, "utf8")));
    expect(validator.validate(AnimaticRequestSchema, storyboard).violations).toBeUndefined();
    expect(storyboard.scenes).toHaveLength(5);
    expect(toBinary(AnimaticRequestSchema, storyboard).length).toBeLessThan(10_000);
  });

  it.each([
    ["TextToVideoRequest", { prompt: "a sunset over the ocean" }],
    ["TextToVideoRequest", { prompt: "x", seed: "-1", width: 1920, height: 1088, frames: 257, fps: 60, guidance: 0 }],
    ["ImageToVideoRequest", { prompt: "x", image: png, sampler: "uni_pc", scheduler: "karras" }],
    ["ImageToVideoRequest", { prompt: "x", imageArtifact: { artifactId } }],
    ["UpscaleRequest", { videoArtifact: { artifactId } }],
    ["AnimaticRequest", { imageArtifact: { artifactId } }],
    ["AnimaticRequest", { scenes: [{ imageArtifact: { artifactId } }] }],
    ["UpscaleRequest", { video: png, factor: 1.5, model: "RealESRGAN_x4plus.safetensors", noiseAugmentation: 0 }],
    ["AnimaticRequest", { prompt: "x" }],
    ["AnimaticRequest", { image: png, frames: 1 }],
    ["AnimaticRequest", { scenes: [{}] }],
  ])("accepts %s %j", (name, json) => {
    expect(violationsOf(name, json)).toEqual([]);
  });

  it.each([
    ["TextToVideoRequest", {}, /prompt/],
    ["TextToVideoRequest", { prompt: "x", width: 850 }, /width: must be a multiple of 16, such as 832, 848 or 1280/],
    ["TextToVideoRequest", { prompt: "x", height: 128 }, /height/],
    ["TextToVideoRequest", { prompt: "x", frames: 80 }, /frames: must be a multiple of 4 plus 1, such as 81 or 121/],
    ["TextToVideoRequest", { prompt: "x", seed: "9007199254740992" }, /seed/],
    ["TextToVideoRequest", { prompt: "x", guidance: "NaN" }, /guidance/],
    ["TextToVideoRequest", { prompt: "x", sampler: "Euler A" }, /sampler/],
    ["TextToVideoRequest", { prompt: "x", requestId: "k".repeat(256) }, /request_id/],
    ["ImageToVideoRequest", { prompt: "x", imageArtifact: {} }, /image_artifact\.artifact_id/],
    ["UpscaleRequest", { video: png, factor: 1 }, /factor/],
    ["UpscaleRequest", { video: png, model: "../../etc/passwd" }, /model/],
    ["UpscaleRequest", { video: png, method: 9 }, /method/],
    ["AnimaticRequest", { width: 641, scenes: [{}] }, /width: must be even, because H.264/],
    ["AnimaticRequest", { scenes: [{ duration: "0s" }] }, /scenes\[0\]\.duration/],
    ["AnimaticRequest", { scenes: [{ image: "AAAA" }] }, /scenes\[0\]\.image/],
    ["AnimaticRequest", { scenes: [{ backdrop: 99 }] }, /scenes\[0\]\.backdrop/],
    ["AnimaticRequest", { scenes: Array.from({ length: 25 }, () => ({})) }, /scenes/],
    ["AnimaticRequest", { scenes: [{}], crossFade: "-1s" }, /cross_fade/],
  ])("refuses %s %j, naming the field", (name, json, message) => {
    expect(violationsOf(name, json)).toEqual([expect.stringMatching(message)]);
  });

  it.each([
    ["TextToVideoRequest", { prompt: "x", width: 1920, height: 1920 }, "width times height must not exceed"],
    ["ImageToVideoRequest", { prompt: "x" }, "give the image once: as image, or as image_artifact"],
    ["ImageToVideoRequest", { prompt: "x", image: png, imageArtifact: { artifactId } }, "give the image once"],
    ["UpscaleRequest", {}, "give the film once: as video, or as video_artifact"],
    ["UpscaleRequest", { video: png, videoArtifact: { artifactId } }, "give the film once"],
    ["AnimaticRequest", { image: png, imageArtifact: { artifactId } }, "give the image once"],
    ["AnimaticRequest", { scenes: [{}], imageArtifact: { artifactId } }, "are for a film of one scene"],
    ["AnimaticRequest", {}, "give scenes, or a prompt or an image for a film of one scene"],
    ["AnimaticRequest", { scenes: [{}], prompt: "x" }, "prompt, image and frames are for a film of one scene"],
  ])("refuses %s %j as a whole", (name, json, message) => {
    expect(violationsOf(name, json)).toEqual([expect.stringContaining(message)]);
  });

  it.each([TextToVideoRequestSchema, ImageToVideoRequestSchema])(
    "lets Animatic answer any $name: fields of one name have one type, and every valid value is valid there",
    (schema) => {
      const twins = new Map(AnimaticRequestSchema.fields.map((field) => [field.name, field]));
      const shared = schema.fields.filter((field) => twins.has(field.name));
      expect(shared.map((field) => field.name)).toEqual(
        expect.arrayContaining(["request_id", "prompt", "seed", "width", "height", "frames", "fps"]),
      );
      for (const field of shared) {
        const twin = twins.get(field.name);
        expect([field.fieldKind, field.scalar], field.name).toEqual([twin?.fieldKind, twin?.scalar]);
      }
      for (const extreme of [
        { width: 256, height: 256, frames: 5, fps: 1, seed: -1n },
        { width: 1920, height: 1088, frames: 257, fps: 60, seed: 9007199254740991n },
      ]) {
        const request = create(AnimaticRequestSchema, { ...extreme, prompt: "x".repeat(10_000) });
        expect(validator.validate(AnimaticRequestSchema, request).violations).toBeUndefined();
      }
    },
  );
});
