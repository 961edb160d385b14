import { toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  AnimaticRequestSchema,
  file_storycore_video_v1_video_service,
} from "../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import { StartRunRequestSchema } from "../../gen/retake/v1/run_service_pb.js";
import { UsageError } from "../../src/cli/cli-error.ts";
import { assertJson, parseInput } from "../../src/cli/parse-input.ts";
import { bytesOf, contractsFrom, withImports } from "./reflecting.ts";

const files = withImports(file_storycore_video_v1_video_service).map(bytesOf);

async function parse(
  text: string,
  schema = AnimaticRequestSchema as typeof AnimaticRequestSchema | typeof StartRunRequestSchema,
) {
  const { contracts } = contractsFrom((asked) => (String(asked.value).startsWith("storycore") ? files : undefined));
  const message = await parseInput({ source: "story.json", text }, schema, contracts);
  return toJson(schema, message as never, { registry: contracts.registry });
}

async function refusal(text: string): Promise<string> {
  const error: unknown = await parse(text).catch((reason) => reason);
  expect(error).toBeInstanceOf(UsageError);
  return (error as UsageError).message;
}

describe("parseInput", () => {
  it("reads protobuf JSON, by either name of a field", async () => {
    expect(await parse('{"request_id": "a", "scenes": [{"text": "x"}]}')).toEqual({
      requestId: "a",
      scenes: [{ text: "x" }],
    });
    expect(await parse('{"requestId": "a"}')).toEqual({ requestId: "a" });
  });

  it("keeps every digit of whole numbers, in quotes or not", async () => {
    expect(await parse('{"seed": 9007199254740993}')).toEqual({ seed: "9007199254740993" });
    expect(await parse('{"seed": "-9223372036854775808"}')).toEqual({ seed: "-9223372036854775808" });
  });

  it("fetches the types that the input itself names", async () => {
    const any = { "@type": "type.googleapis.com/storycore.video.v1.AnimaticRequest", prompt: "x" };
    expect(await parse(JSON.stringify({ workflow: "w", message: any }), StartRunRequestSchema)).toMatchObject({
      message: any,
    });
  });

  it("names every field that is wrong, by its path, and what was perhaps meant", async () => {
    const message = await refusal('{"promt": "x", "frames": "many", "scenes": [{"text": "a"}, {"duration": "5"}]}');
    expect(message.split("\n")).toEqual([
      "story.json is no storycore.video.v1.AnimaticRequest:",
      expect.stringMatching(/"promt".*Did you mean "prompt"\?/),
      expect.stringMatching(/^frames: /),
      expect.stringMatching(/^scenes\[1\]\.duration: /),
    ]);
  });

  it.each(["[]", '"text"', "null", "3", "true"])("refuses %s, which is no object", async (text) => {
    expect(await refusal(text)).toMatch(/^story\.json is no storycore\.video\.v1\.AnimaticRequest:\n./);
  });
});

describe("assertJson", () => {
  it.each([
    ["", "story.json is empty; an empty request is {}"],
    [" \n", "story.json is empty; an empty request is {}"],
    ['{"a": }', "story.json is no JSON: "],
    ["{'a': 1}", "story.json is no JSON: "],
    ['{"a": 1', "story.json is no JSON: "],
  ])("refuses %j", (text, message) => {
    expect(() => assertJson({ source: "story.json", text })).toThrow(message);
  });
});
