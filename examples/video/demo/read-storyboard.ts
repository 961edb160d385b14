import { readFile } from "node:fs/promises";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { UsageError } from "../../../src/cli/cli-error.ts";
import { type AnimaticRequest, AnimaticRequestSchema } from "../gen/storycore/video/v1/video_service_pb.js";

/** Reads a storyboard: the JSON of an AnimaticRequest. @throws UsageError that says what is wrong with it */
export async function readStoryboard(file: string): Promise<AnimaticRequest> {
  try {
    return fromJson(AnimaticRequestSchema, JSON.parse(await readFile(file, "utf8")) as JsonValue);
  } catch (error) {
    throw new UsageError(`the storyboard ${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
