import { readFile } from "node:fs/promises";
import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { backdrops, cameraMoves, planShots } from "../../../examples/video/animatic/index.ts";
import {
  AnimaticRequestSchema,
  BackdropSchema,
  CameraSchema,
  VideoFormatSchema,
} from "../../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import { filmFormatFrom, storyboardFrom } from "../../../examples/video/storyboard-from.ts";

const from = (json: JsonValue) => storyboardFrom(fromJson(AnimaticRequestSchema, json));

describe("storyboardFrom", () => {
  it("fills in what the contract promises", () => {
    expect(from({ scenes: [{ text: "a" }] })).toEqual({
      scenes: [{ title: "", text: "a", durationMs: 3000 }],
      width: 640,
      height: 360,
      fps: 12,
      crossFadeMs: 400,
    });
  });

  it("takes what the request says", () => {
    const scene = { title: "T", text: "t", duration: "1.5s", backdrop: "BACKDROP_SEA", camera: "CAMERA_TILT_UP" };
    expect(from({ scenes: [scene], width: 320, height: 180, fps: 24, crossFade: "0s", seed: "7" })).toEqual({
      scenes: [{ title: "T", text: "t", durationMs: 1500, backdrop: "sea", camera: "tilt-up" }],
      width: 320,
      height: 180,
      fps: 24,
      crossFadeMs: 0,
      seed: 7,
    });
    expect(from({ scenes: [{}], seed: "-1" })).not.toHaveProperty("seed");
    const image = Uint8Array.of(1, 2, 3);
    expect(storyboardFrom(create(AnimaticRequestSchema, { scenes: [{ image }] })).scenes[0]?.image).toEqual(image);
  });

  it("makes one scene of a prompt, with exactly as many frames as are asked for", () => {
    const request = { prompt: "a sunset", frames: 121, fps: 24, width: 848, height: 480 };
    expect(from(request).scenes).toEqual([{ title: "", text: "a sunset", durationMs: (121 * 1000) / 24 }]);
    for (const fps of [1, 7, 12, 16, 23, 24, 30, 60]) {
      for (const frames of [5, 81, 121, 257]) {
        expect(planShots(from({ prompt: "x", frames, fps })).frames, `${frames} at ${fps}`).toBe(frames);
      }
    }
  });

  it.each([
    ["backdrop", BackdropSchema, backdrops],
    ["camera", CameraSchema, cameraMoves],
  ] as const)("knows every %s of the contract", (field, schema, known) => {
    const values = schema.values
      .filter(({ number }) => number !== 0)
      .map(({ number }) => from({ scenes: [{ [field]: number }] }).scenes[0]?.[field]);
    expect(new Set(values)).toEqual(new Set(known));
  });

  it("plans the bundled film as five scenes of some eleven seconds", async () => {
    const file = new URL("../../../examples/video/storyboard.json", import.meta.url);
    const plan = planShots(from(JSON.parse(await readFile(file, "utf8"))));
    expect(plan.shots.map(({ backdrop }) => backdrop)).toEqual(["village", "sea", "storm", "lighthouse", "mountains"]);
    expect(plan.frames).toBe(137);
  });
});

describe("filmFormatFrom", () => {
  it("knows every format of the contract", () => {
    const formats = VideoFormatSchema.values.map(({ number }) =>
      filmFormatFrom(create(AnimaticRequestSchema, { format: number })),
    );
    expect(formats).toEqual(["auto", "auto", "mp4", "webp"]);
  });
});
