import { create, type DescMethod, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { FallbackConverter, RetakeServer } from "retake";
import {
  type AnimaticRequest,
  AnimaticRequestSchema,
  type SceneSchema,
  VideoService,
} from "./gen/storycore/video/v1/video_service_pb.js";

const { textToVideo, imageToVideo, animatic } = VideoService.method;

/** What engines do where a request says nothing, by the contract. */
const engineDefaults = { frames: 121, fps: 24 } as const;
const mostScenes = 24;
const shortestSceneMs = 1_000;
const longestSceneMs = 60_000;

/** Each sentence of the prompt is a scene of its own, as long as fits into the film that was asked for. */
const storyboardOfPrompt: FallbackConverter<typeof textToVideo, typeof animatic> = {
  workflow: textToVideo,
  fallback: animatic,
  request: ({ prompt, frames = engineDefaults.frames, fps = engineDefaults.fps }, mapped) => {
    const filmMs = (frames * 1000) / fps;
    const count = Math.max(1, Math.min(mostScenes, Math.floor(filmMs / shortestSceneMs)));
    const texts = scenesOf(prompt, count);
    if (texts.length < 2) return mapped;
    const sceneMs = Math.min(longestSceneMs, filmMs / texts.length);
    const scenes = texts.map((text) => ({ text, duration: durationFromMs(Math.floor(sceneMs)) }));
    return withScenes(mapped, scenes);
  },
};

/** An animatic moves the camera over the image, and has no use for what tells a model how to paint. */
const cameraOverImage: FallbackConverter<typeof imageToVideo, typeof animatic> = {
  workflow: imageToVideo,
  fallback: animatic,
  request: (_, mapped) => mapped,
};

/** Registers what stands between the workflows of engines and the animatic that answers when those cannot. */
export function convertFallbacks(server: RetakeServer): RetakeServer {
  return server.convert("storyboard-of-prompt", storyboardOfPrompt).convert("camera-over-image", cameraOverImage);
}

/** The policies that call them so, for the configuration of a server with this code. */
export const fallbackPolicies = {
  [nameOf(textToVideo)]: { fallbackConverters: { [nameOf(animatic)]: "storyboard-of-prompt" } },
  [nameOf(imageToVideo)]: { fallbackConverters: { [nameOf(animatic)]: "camera-over-image" } },
};

/** The sentences, those at the end together where there are too many. */
function scenesOf(prompt: string, most: number): string[] {
  const sentences = [...new Intl.Segmenter("en", { granularity: "sentence" }).segment(prompt)]
    .map(({ segment }) => segment.trim())
    .filter((sentence) => sentence !== "");
  const last = sentences.splice(most - 1).join(" ");
  return last === "" ? sentences : [...sentences, last];
}

function withScenes(
  { $typeName, prompt, frames, ...others }: AnimaticRequest,
  scenes: MessageInitShape<typeof SceneSchema>[],
): AnimaticRequest {
  return create(AnimaticRequestSchema, { ...others, scenes });
}

function nameOf({ parent, name }: DescMethod): string {
  return `${parent.typeName}/${name}`;
}
