import { describe, expect, it } from "vitest";
import {
  ImageToVideoRequestSchema,
  TextToVideoRequestSchema,
  UpscaleMethod,
  UpscaleRequestSchema,
} from "../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import { Quality } from "../../gen/retake/v1/options_pb.js";
import { degradeRequest } from "../../src/testing/index.ts";

const { FULL, HIGH, MEDIUM, LOW, MINIMAL } = Quality;

describe("degradeRequest", () => {
  const film = { prompt: "a boat", width: 1280, height: 720, steps: 50, frames: 121, upscale: true };

  it.each([
    [FULL, {}],
    [HIGH, { width: 1024, height: 576, steps: 40 }],
    [MEDIUM, { width: 768, height: 432, steps: 30, upscale: false }],
    [LOW, { width: 512, height: 288, steps: 20, upscale: false }],
    [MINIMAL, { width: 256, height: 256, steps: 12, upscale: false }],
  ])("makes less of a film at quality %s, by the rules of the video example", (quality, less) => {
    const { message, changedFields } = degradeRequest(TextToVideoRequestSchema, film, quality);
    expect(message).toMatchObject({ ...film, ...less });
    expect([...changedFields].sort()).toEqual(Object.keys(less).sort());
    expect(film.width).toBe(1280);
  });

  it("invents nothing where a request leaves things to the engine", () => {
    const { message, changedFields } = degradeRequest(ImageToVideoRequestSchema, { prompt: "a boat" }, MINIMAL);
    expect(changedFields).toEqual([]);
    expect(message.width).toBeUndefined();
  });

  it("steps enums and fractions down", () => {
    const request = { method: UpscaleMethod.LATENT, factor: 3, steps: 8 };
    const { message } = degradeRequest(UpscaleRequestSchema, request, LOW);
    expect(message).toMatchObject({ method: UpscaleMethod.PIXEL, factor: 1.25, steps: 4 });
  });
});
