import { clone } from "@bufbuild/protobuf";
import type { RunArtifacts } from "retake";
import type { Artifact } from "retake/gen/retake/v1/artifact_pb.js";
import { StoryboardError } from "./animatic/index.ts";
import { type AnimaticRequest, AnimaticRequestSchema } from "./gen/storycore/video/v1/video_service_pb.js";

/** What the contract allows: larger images are no storyboards. */
const maxImageBytes = 64 * 1024 * 1024;

/** The request with the images that it gives as artifacts, as if they were in it. @throws StoryboardError */
export async function withImages(request: AnimaticRequest, artifacts: RunArtifacts): Promise<AnimaticRequest> {
  if (![request, ...request.scenes].some(({ imageArtifact }) => imageArtifact !== undefined)) return request;
  const filled = clone(AnimaticRequestSchema, request);
  for (const [index, part] of [filled, ...filled.scenes].entries()) {
    if (part.imageArtifact !== undefined) {
      part.image = await imageOf(part.imageArtifact, index === 0 ? "the film" : `scene ${index}`, artifacts);
    }
  }
  return filled;
}

async function imageOf(image: Artifact, of: string, artifacts: RunArtifacts): Promise<Uint8Array> {
  const opened = await artifacts.open(image);
  const { size } = opened.artifact;
  if (size > maxImageBytes) {
    throw new StoryboardError(
      `The image of ${of} has ${size} bytes, and ${maxImageBytes} are the limit: send a smaller one.`,
    );
  }
  return opened.bytes();
}
