import { type Duration, durationMs as msFrom } from "@bufbuild/protobuf/wkt";
import type { Backdrop, CameraMove, Scene as DrawnScene, FilmFormat, Storyboard } from "./animatic/index.ts";
import {
  type AnimaticRequest,
  Backdrop as BackdropCode,
  Camera,
  type Scene,
  VideoFormat,
} from "./gen/storycore/video/v1/video_service_pb.js";

/** What the contract promises where a request says nothing. */
const defaults = { width: 640, height: 360, fps: 12, sceneMs: 3000, crossFadeMs: 400 } as const;

const backdropOf: Readonly<Record<BackdropCode, Backdrop | undefined>> = {
  [BackdropCode.UNSPECIFIED]: undefined,
  [BackdropCode.VILLAGE]: "village",
  [BackdropCode.SEA]: "sea",
  [BackdropCode.STORM]: "storm",
  [BackdropCode.LIGHTHOUSE]: "lighthouse",
  [BackdropCode.MOUNTAINS]: "mountains",
  [BackdropCode.FOREST]: "forest",
};

const moveOf: Readonly<Record<Camera, CameraMove | undefined>> = {
  [Camera.UNSPECIFIED]: undefined,
  [Camera.ZOOM_IN]: "zoom-in",
  [Camera.ZOOM_OUT]: "zoom-out",
  [Camera.PAN_LEFT]: "pan-left",
  [Camera.PAN_RIGHT]: "pan-right",
  [Camera.TILT_UP]: "tilt-up",
  [Camera.TILT_DOWN]: "tilt-down",
};

const formatOf: Readonly<Record<VideoFormat, FilmFormat | "auto">> = {
  [VideoFormat.UNSPECIFIED]: "auto",
  [VideoFormat.AUTO]: "auto",
  [VideoFormat.MP4]: "mp4",
  [VideoFormat.WEBP]: "webp",
};

/** The storyboard that a valid request asks for; a prompt becomes a film of one scene. */
export function storyboardFrom(request: AnimaticRequest): Storyboard {
  const { width = defaults.width, height = defaults.height, fps = defaults.fps, seed = -1n, crossFade } = request;
  return {
    scenes: request.scenes.length > 0 ? request.scenes.map(sceneFrom) : [sceneOfPrompt(request, fps)],
    width,
    height,
    fps,
    crossFadeMs: msOf(crossFade, defaults.crossFadeMs),
    ...(seed < 0n ? {} : { seed: Number(seed) }),
  };
}

/** What a request wants the film delivered as. */
export function filmFormatFrom({ format }: AnimaticRequest): FilmFormat | "auto" {
  return formatOf[format];
}

function sceneFrom(scene: Scene): DrawnScene {
  const backdrop = backdropOf[scene.backdrop];
  const camera = moveOf[scene.camera];
  return {
    title: scene.title,
    text: scene.text,
    durationMs: msOf(scene.duration, defaults.sceneMs),
    ...imageOf(scene),
    ...(backdrop === undefined ? {} : { backdrop }),
    ...(camera === undefined ? {} : { camera }),
  };
}

function sceneOfPrompt(request: AnimaticRequest, fps: number): DrawnScene {
  const { prompt, frames } = request;
  const durationMs = frames === undefined ? defaults.sceneMs : (frames * 1000) / fps;
  return { title: "", text: prompt, durationMs, ...imageOf(request) };
}

function imageOf({ image }: { image: Uint8Array }): { image?: Uint8Array } {
  return image.length === 0 ? {} : { image };
}

function msOf(duration: Duration | undefined, fallbackMs: number): number {
  return duration === undefined ? fallbackMs : msFrom(duration);
}
