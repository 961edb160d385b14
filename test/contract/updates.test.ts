import { create, type DescMessage } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ProgressSchema } from "../../gen/retake/v1/run_pb.js";
import { readUpdates, type Updates, unaryUpdates } from "../../src/contract/updates.ts";
import { ContractService, RenderResponseSchema, TranscribeResponseSchema } from "../gen/retake/test/v1/contracts_pb.js";
import { compileContracts, contractSource, loadedAnew } from "./compile-contracts.ts";

const progress = create(ProgressSchema, { stage: "sampling", fraction: 0.5 });

/** Responses by name, and what is wrong with each; nothing for those that can be served. */
const shapes: Record<string, { body: string; problems: string[] }> = {
  ResultInAOneofWithUpdates: {
    body: "oneof update { retake.v1.Progress progress = 1; string text = 2; }",
    problems: [],
  },
  ResultInPlainFields: {
    body: "retake.v1.Progress progress = 1; string text = 2; repeated string words = 3;",
    problems: [],
  },
  ResultInBoth: {
    body: "oneof update { retake.v1.Progress progress = 1; string text = 2; } string trace = 3;",
    problems: [],
  },
  PlainResultBesideAOneofOfUpdates: {
    body: "oneof update { retake.v1.Progress progress = 1; string part = 2 [(retake.v1.update) = {}]; } string text = 3;",
    problems: [],
  },
  AlternativesInAOneofOfTheirOwn: {
    body: "retake.v1.Progress progress = 1; oneof answer { string text = 2; bytes data = 3; }",
    problems: [],
  },
  ListOfProgressInTheResult: {
    body: "retake.v1.Progress progress = 1; repeated retake.v1.Progress history = 2;",
    problems: [],
  },
  NoUpdate: {
    body: "oneof answer { string text = 1; bytes data = 2; }",
    problems: ["streams messages of which each could be the result."],
  },
  Empty: { body: "", problems: ["streams messages of which each could be the result."] },
  NothingButUpdates: {
    body: "oneof update { retake.v1.Progress progress = 1; string part = 2 [(retake.v1.update) = {}]; }",
    problems: ["has no possible result"],
  },
  SeveralResults: {
    body: "oneof update { retake.v1.Progress progress = 1; string text = 2; bytes data = 3; }",
    problems: ["has several possible results: text, data."],
  },
  SeveralResultsInSeveralOneofs: {
    body: `oneof update { retake.v1.Progress progress = 1; string text = 2; }
           oneof other { string part = 3 [(retake.v1.update) = {}]; bytes data = 4; }`,
    problems: ["has several possible results: text, data."],
  },
  UpdateWithoutPresence: {
    body: "int32 percent = 1 [(retake.v1.update) = {}]; string text = 2;",
    problems: ["UpdateWithoutPresence.percent is an update without presence"],
  },
  ListAsUpdate: {
    body: "repeated string words = 1 [(retake.v1.update) = {}]; map<string, string> more = 3 [(retake.v1.update) = {}]; string text = 2;",
    problems: ["ListAsUpdate.words is an update without presence", "ListAsUpdate.more is an update without presence"],
  },
};

const registry = await compileContracts({
  "shapes.proto": contractSource(
    "shapes",
    Object.entries(shapes)
      .map(([name, { body }]) => `message ${name} { ${body} }`)
      .join("\n"),
  ),
});

function shape(name: string): DescMessage {
  const message = registry.getMessage(`shapes.${name}`);
  if (message === undefined) throw new Error(`no shape ${name}`);
  return message;
}

function updatesOf(output: DescMessage): Updates {
  const updates = readUpdates(output);
  if ("problems" in updates) throw new Error(JSON.stringify(updates.problems.map(({ message }) => message)));
  return updates;
}

describe("readUpdates", () => {
  it.each(Object.entries(shapes).map(([name, { problems }]) => [name, problems] as const))(
    "judges %s",
    (name, expected) => {
      const updates = readUpdates(shape(name));
      const found = "problems" in updates ? updates.problems : [];
      expect(found.map(({ field, message }) => (field ? `${field} ${message}` : message))).toEqual(
        expected.map((start) => expect.stringContaining(start)),
      );
    },
  );

  it("takes no update out of a unary response", () => {
    const message = create(RenderResponseSchema, { update: { case: "progress", value: progress } });
    expect(unaryUpdates.classifyUpdate(message)).toEqual({ kind: "result" });
    expect(unaryUpdates.progressUpdate(progress)).toBeUndefined();
  });
});

describe.each([
  ["generated descriptors", ContractService],
  ["descriptors out of a set", loadedAnew(ContractService)],
])("a response of %s", (_, service) => {
  const render = service.methods[0]?.output ?? RenderResponseSchema;
  const transcribe = service.methods[2]?.output ?? TranscribeResponseSchema;
  const classify = (schema: DescMessage, init: Record<string, unknown>) =>
    updatesOf(schema).classifyUpdate(create(schema, init));

  it("tells the members of a oneof apart", () => {
    expect(classify(render, { update: { case: "progress", value: progress } })).toEqual({ kind: "progress", progress });
    expect(classify(render, { update: { case: "preview", value: {} } })).toEqual({ kind: "update", keep: "latest" });
    expect(classify(render, { update: { case: "line", value: {} } })).toEqual({ kind: "update", keep: "all" });
    expect(classify(render, { update: { case: "film", value: {} } })).toEqual({ kind: "result" });
    expect(classify(render, {})).toEqual({ kind: "result" });
  });

  it("tells plain fields apart by their presence", () => {
    expect(classify(transcribe, { partial: "" })).toEqual({ kind: "update", keep: "all" });
    expect(classify(transcribe, { progress })).toEqual({ kind: "progress", progress });
    expect(classify(transcribe, { text: "the whole", words: ["the", "whole"] })).toEqual({ kind: "result" });
  });

  it("takes a message that sets an update beside the result's fields for an update", () => {
    expect(classify(transcribe, { progress, text: "so far" })).toEqual({ kind: "progress", progress });
  });

  it("keeps the progress of a message that carries another update as well", () => {
    expect(classify(transcribe, { partial: "the", progress })).toEqual({ kind: "update", keep: "all", progress });
  });

  it("builds a message that carries a progress", () => {
    for (const schema of [render, transcribe]) {
      const updates = updatesOf(schema);
      const message = updates.progressUpdate(progress);
      expect(message?.$typeName).toBe(schema.typeName);
      expect(message && updates.classifyUpdate(message)).toEqual({ kind: "progress", progress });
    }
  });
});

describe("a response without a Progress", () => {
  it("cannot carry one", async () => {
    const other = await compileContracts({
      "other.proto": contractSource(
        "other",
        "message Parts { optional string part = 1 [(retake.v1.update) = {}]; string text = 2; }",
      ),
    });
    const updates = updatesOf(other.getMessage("other.Parts") ?? shape("Empty"));
    expect(updates.progressUpdate(progress)).toBeUndefined();
  });
});

describe("a marked Progress", () => {
  it("is journaled like any other update when all of them are kept", async () => {
    const marked = await compileContracts({
      "marked.proto": contractSource(
        "marked",
        `message All { retake.v1.Progress progress = 1 [(retake.v1.update).keep = UPDATE_KEEP_ALL]; string text = 2; }
         message Latest { retake.v1.Progress progress = 1 [(retake.v1.update) = {}]; string text = 2; }`,
      ),
    });
    const classify = (name: string) => {
      const schema = marked.getMessage(`marked.${name}`) ?? shape("Empty");
      return updatesOf(schema).classifyUpdate(create(schema, { progress }));
    };
    expect(classify("All")).toEqual({ kind: "update", keep: "all", progress });
    expect(classify("Latest")).toEqual({ kind: "progress", progress });
  });
});

describe("a response whose updates the policy names", () => {
  it("is told apart as if they were marked", async () => {
    const foreign = await compileContracts({
      "foreign.proto": contractSource(
        "foreign",
        `message Reply { oneof kind { Step step = 1; Picture picture = 2; } }
         message Step { int32 percent = 1; }
         message Picture { bytes data = 1; }`,
      ),
    });
    const schema = foreign.getMessage("foreign.Reply") ?? shape("Empty");
    expect(readUpdates(schema)).toHaveProperty("problems");
    const updates = readUpdates(schema, ["step"]);
    if ("problems" in updates) throw new Error(JSON.stringify(updates.problems));
    const classify = (name: string) => updates.classifyUpdate(create(schema, { kind: { case: name, value: {} } }));
    expect(classify("step")).toEqual({ kind: "update", keep: "latest" });
    expect(classify("picture")).toEqual({ kind: "result" });
    expect(updates.progressUpdate(progress)).toBeUndefined();
  });
});
