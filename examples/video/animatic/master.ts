import sharp from "sharp";
import { paintBackdrop } from "./backdrops/index.ts";
import { reach } from "./camera.ts";
import { StoryboardError } from "./errors.ts";
import type { Pixels } from "./picture.ts";
import { type Shot, sceneName } from "./storyboard.ts";

/** A master is at most this large: 18 MB of pixels, whatever the size of the film. */
const maxMasterPixels = 6_000_000;

/** An image that claims to be larger is refused before it is decoded. */
const maxImagePixels = 64_000_000;

/**
 * Draws or decodes the picture over which the camera travels, larger than the frame, so that a slow pan glides instead of
 * stepping: views begin at every third of a frame's pixel. The limit on the master makes that 0.5 of a pixel at 720p and
 * 0.7 at 1080p. Throws a {@link StoryboardError} when the scene's image cannot be decoded.
 */
export async function drawMaster(shot: Shot, frame: { width: number; height: number }): Promise<Pixels> {
  const finest = Math.sqrt(maxMasterPixels / (frame.width * frame.height)) / reach;
  const oversampling = Math.min(3, Math.max(1, finest));
  const width = Math.round(frame.width * oversampling * reach);
  const height = Math.round(frame.height * oversampling * reach);
  const picture =
    shot.image === undefined
      ? sharp(Buffer.from(paintBackdrop(shot.backdrop, shot.seed, width, height)))
      : sharp(shot.image, { failOn: "error", limitInputPixels: maxImagePixels, autoOrient: true })
          .resize(width, height, { fit: "cover" })
          .flatten({ background: "#10131f" });
  try {
    const { data, info } = await picture
      .toColourspace("srgb")
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { data, width: info.width, height: info.height, channels: 3 };
  } catch (error) {
    if (shot.image === undefined) throw error;
    throw new StoryboardError(
      `The image of ${sceneName(shot)} cannot be decoded: ${reasonOf(error)}. Send it whole, as PNG, JPEG or WebP.`,
      { cause: error },
    );
  }
}

function reasonOf(error: unknown): string {
  const [first = "unknown error"] = (error instanceof Error ? error.message : String(error)).split("\n");
  return first.replace(/\.$/, "");
}
