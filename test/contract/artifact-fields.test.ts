import { create } from "@bufbuild/protobuf";
import { anyPack, DurationSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { ArtifactSchema } from "../../gen/retake/v1/artifact_pb.js";
import { artifactIdsIn, carriesArtifacts } from "../../src/contract/artifact-fields.ts";
import { DevelopRequestSchema, DevelopResponseSchema } from "../gen/retake/test/v1/gallery_pb.js";
import { PlainRequestSchema } from "../gen/retake/test/v1/workflows_pb.js";

describe("carriesArtifacts", () => {
  it("is true of a message that can hold one, at any depth, and of an artifact itself", () => {
    expect(carriesArtifacts(DevelopRequestSchema)).toBe(true);
    expect(carriesArtifacts(DevelopResponseSchema)).toBe(true);
    expect(carriesArtifacts(ArtifactSchema)).toBe(true);
  });

  it("is false of any other", () => {
    expect(carriesArtifacts(PlainRequestSchema)).toBe(false);
    expect(carriesArtifacts(DurationSchema)).toBe(false);
  });
});

describe("artifactIdsIn", () => {
  const artifact = (artifactId: string) => create(ArtifactSchema, { artifactId });

  it("finds them wherever they are, each once", () => {
    const message = create(DevelopRequestSchema, {
      image: artifact("a"),
      images: [artifact("b"), artifact("a"), artifact("c")],
      named: { one: artifact("d") },
      more: { case: "album", value: { cover: artifact("e"), parts: [{ parts: [{ cover: artifact("f") }] }] } },
    });

    expect([...artifactIdsIn(DevelopRequestSchema, message)].sort()).toEqual(["a", "b", "c", "d", "e", "f"]);
  });

  it("finds none in what is not set, in one without an id, or within an Any", () => {
    const message = create(DevelopRequestSchema, {
      image: artifact(""),
      more: { case: "caption", value: "a" },
      any: anyPack(ArtifactSchema, artifact("hidden")),
    });

    expect(artifactIdsIn(DevelopRequestSchema, message)).toEqual([]);
  });

  it("finds the message itself", () => {
    expect(artifactIdsIn(ArtifactSchema, artifact("a"))).toEqual(["a"]);
  });
});
