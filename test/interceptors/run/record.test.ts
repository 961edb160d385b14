import { create, toBinary } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { Quality } from "../../../gen/retake/v1/options_pb.js";
import { record } from "../../../src/interceptors/run/index.ts";
import { createError, type Outcome, type RunRequest, silentLogger } from "../../../src/runs/index.ts";
import { payloadDigest } from "../../../src/runs/ports/payloads.ts";
import { createSeededRandom } from "../../../src/testing/index.ts";
import { PaintRequestSchema } from "../../gen/retake/test/v1/quality_pb.js";
import { createTurn } from "./stage-turn.ts";

const succeeded = { kind: "succeeded" } as Outcome;
const input = toBinary(PaintRequestSchema, create(PaintRequestSchema, { strokes: 100, varnish: true }));
const sha256 = payloadDigest(input);

/** The stage for a run whose first two attempts have been made, and what comes through to the next one. */
function stageOf(asked: { readonly quality?: Quality; readonly inputQuality?: boolean } = {}) {
  const harness = createTurn();
  const { clock, events, run, turn } = harness;
  run.input = input;
  const request = {
    run: { accepted: { runId: "run", traceparent: "", input: { sha256 } }, attempts: 2 },
    workflow: {
      input: PaintRequestSchema,
      inputQuality: asked.inputQuality ?? true,
      sensitive: false,
      policyRevision: 7n,
    },
    permit: { kind: "permit", runId: "run", endpoint: "gpu:1" },
    ...(asked.quality === undefined ? {} : { quality: asked.quality }),
    turn,
  } as unknown as RunRequest;
  const passed: RunRequest[] = [];
  const stage = record({
    clock,
    random: createSeededRandom(1),
    log: silentLogger,
    contracts: { validator: createValidator() },
    payloads: {},
  })(async (next) => {
    passed.push(next);
    return succeeded;
  });
  return { ...harness, enter: () => stage(request), passed, started: () => events.map(({ value }) => value) };
}

describe("the record stage", () => {
  it("calls the back-end when the start of the attempt is durable, and not before; its clock runs from then on", async () => {
    const { clock, run, turn, enter, passed, started } = stageOf();
    const durable = Promise.withResolvers<void>();
    run.durable = durable.promise;
    const outcome = enter();
    await clock.advance(5_000);
    expect(started()).toMatchObject([
      { attempt: 3, token: "run.3", endpoint: "gpu:1", quality: Quality.FULL, changedFields: [], policyRevision: 7n },
    ]);
    expect(passed).toEqual([]);
    durable.resolve();
    expect(await outcome).toBe(succeeded);
    expect(passed[0]?.attempt).toMatchObject({ number: 3, token: "run.3", endpoint: "gpu:1", inputSha256: sha256 });
    await clock.advance(2_000);
    expect(turn.attemptMs).toBe(2_000);
  });

  it("gives each attempt a message of its own", async () => {
    const { enter, passed } = stageOf();
    await enter();
    await enter();
    const [first, second] = passed.map(({ message }) => message);
    expect(first).toMatchObject({ strokes: 100, varnish: true });
    expect(second).toEqual(first);
    expect(second).not.toBe(first);
  });

  it("asks for no more than the quality does, and tells which fields are changed and what is asked for", async () => {
    const { enter, passed, started } = stageOf({ quality: Quality.MEDIUM });
    await enter();
    const [asked] = passed;
    expect(asked?.message).toMatchObject({ strokes: 60, varnish: false });
    const digest = payloadDigest(toBinary(PaintRequestSchema, create(PaintRequestSchema, { strokes: 60 })));
    expect(started()).toMatchObject([
      { quality: Quality.MEDIUM, changedFields: ["strokes", "varnish"], inputSha256: digest },
    ]);
    expect(asked?.attempt).toMatchObject({ quality: Quality.MEDIUM, inputSha256: digest });
  });

  it("tells steps of a lower quality from those of a full one where the contract does not say what it changes", async () => {
    const { enter, passed } = stageOf({ quality: Quality.LOW, inputQuality: false });
    await enter();
    expect(passed[0]?.message).toMatchObject({ strokes: 100, varnish: true });
    expect(passed[0]?.attempt?.inputSha256).toEqual(payloadDigest(Uint8Array.of(...sha256, Quality.LOW)));
  });

  it("makes no attempt while the input cannot be read, and has the run ask again", async () => {
    const { clock, run, enter, events, passed } = stageOf();
    run.input = undefined;
    expect(await enter()).toMatchObject({ kind: "blocked", gate: "storage", notBeforeMs: clock.now() + 1_000 });
    expect([events, passed]).toEqual([[], []]);
  });

  it("fails where the input is lost, or is no message any more", async () => {
    const lost = stageOf();
    lost.run.input = undefined;
    lost.onLoad(() => Promise.reject(createError(Code.DataLoss, "LOST", "the input has been deleted")));
    expect(await lost.enter()).toMatchObject({ kind: "failed", failure: { code: Code.DataLoss } });
    const broken = stageOf();
    broken.run.input = Uint8Array.of(0x08);
    expect(await broken.enter()).toMatchObject({ kind: "failed" });
    expect([...lost.events, ...broken.events, ...lost.passed, ...broken.passed]).toEqual([]);
  });

  it("begins nothing for a run that is stopped while its input is read", async () => {
    const { run, turn, enter, onLoad, events, passed } = stageOf();
    run.input = undefined;
    onLoad(async () => {
      turn.abort(createError(Code.Canceled, "CANCELLED", "enough"));
      return input;
    });
    expect(await enter()).toMatchObject({ kind: "failed", failure: { reason: "CANCELLED" } });
    expect([events, passed]).toEqual([[], []]);
  });

  it.each<[string, (turn: ReturnType<typeof createTurn>["turn"]) => void]>([
    ["stopped", (turn) => turn.abort(createError(Code.Canceled, "CANCELLED", "enough"))],
    ["concluded", (turn) => turn.conclude({ kind: "expired" })],
  ])("does not call the back-end of a run that is %s while the start becomes durable", async (_, end) => {
    const { run, turn, enter, events, passed } = stageOf();
    const durable = Promise.withResolvers<void>();
    run.durable = durable.promise;
    const outcome = enter();
    end(turn);
    durable.resolve();
    expect(await outcome).toMatchObject({ kind: "failed", failure: { reason: "CANCELLED" } });
    expect([events.length, passed]).toEqual([1, []]);
  });
});
