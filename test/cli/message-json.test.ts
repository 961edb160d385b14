import { create, toBinary } from "@bufbuild/protobuf";
import { AnySchema, anyPack } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import {
  AnimaticResponseSchema,
  file_storycore_video_v1_video_service,
} from "../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import { FailureSchema, RunSchema } from "../../gen/retake/v1/run_pb.js";
import { messageJson, unpackAny } from "../../src/cli/message-json.ts";
import { bytesOf, contractsFrom, contractsWithoutReflection, withImports } from "./reflecting.ts";

const files = withImports(file_storycore_video_v1_video_service).map(bytesOf);
const video = anyPack(
  AnimaticResponseSchema,
  create(AnimaticResponseSchema, {
    update: { case: "video", value: { artifact: { sha256: new Uint8Array([1, 2]) }, frames: 3 } },
  }),
);
const unknown = create(AnySchema, { typeUrl: "type.googleapis.com/a.B", value: new Uint8Array([8, 1]) });

function reflecting() {
  return contractsFrom((asked) => (String(asked.value).startsWith("storycore") ? files : undefined)).contracts;
}

describe("messageJson", () => {
  it("shows messages within messages, their types fetched by reflection", async () => {
    const run = create(RunSchema, { runId: "r", result: { value: video, size: 4n } });
    expect(await messageJson(RunSchema, run, reflecting())).toEqual({
      runId: "r",
      result: {
        size: "4",
        value: {
          "@type": "type.googleapis.com/storycore.video.v1.AnimaticResponse",
          video: { artifact: { sha256: "AQI=" }, frames: 3 },
        },
      },
    });
  });

  it("shows the bytes of what nobody knows, in lists, maps and within each other, and the rest as it is", async () => {
    const failure = create(FailureSchema, { reason: "X", details: [video, unknown, anyPack(AnySchema, unknown)] });
    const run = create(RunSchema, { failure, result: { value: unknown } });
    const shown = { "@type": "type.googleapis.com/a.B", value: "CAE=" };
    expect(await messageJson(RunSchema, run, reflecting())).toEqual({
      failure: {
        reason: "X",
        details: [
          {
            "@type": "type.googleapis.com/storycore.video.v1.AnimaticResponse",
            video: { artifact: { sha256: "AQI=" }, frames: 3 },
          },
          shown,
          {
            "@type": "type.googleapis.com/google.protobuf.Any",
            value: Buffer.from(toBinary(AnySchema, unknown)).toString("base64"),
          },
        ],
      },
      result: { value: shown },
    });
    // The message itself is left as it was.
    expect(run.result?.value).toEqual(unknown);
  });

  it("shows the bytes of what cannot be decoded", async () => {
    const broken = create(AnySchema, { typeUrl: video.typeUrl, value: new Uint8Array([0xff]) });
    expect(await messageJson(RunSchema, create(RunSchema, { result: { value: broken } }), reflecting())).toEqual({
      result: { value: { "@type": video.typeUrl, value: "/w==" } },
    });
  });

  it("shows bytes where reflection is off", async () => {
    const run = create(RunSchema, { result: { value: unknown } });
    expect(await messageJson(RunSchema, run, contractsWithoutReflection())).toEqual({
      result: { value: { "@type": "type.googleapis.com/a.B", value: "CAE=" } },
    });
  });
});

describe("unpackAny", () => {
  it("gives the message, or nothing where its type is unknown", async () => {
    expect((await unpackAny(video, reflecting()))?.desc.typeName).toBe("storycore.video.v1.AnimaticResponse");
    expect(await unpackAny(unknown, reflecting())).toBeUndefined();
    expect(await unpackAny(create(AnySchema), reflecting())).toBeUndefined();
  });
});
