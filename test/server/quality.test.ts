import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { FailureCategory, Quality } from "../../gen/retake/v1/options_pb.js";
import { QualityCause } from "../../gen/retake/v1/quality_level_pb.js";
import { FailureSchema, RunState } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { call, step, type WorkflowContext } from "../../src/index.ts";
import type { WorkflowImpl } from "../../src/server/server.ts";
import { createTestServer, type TestServerOptions } from "../../src/testing/test-server.ts";
import {
  type PaintRequest,
  PaintRequestSchema,
  PaintResponseSchema,
  QualityService,
  type SketchRequest,
  SketchResponseSchema,
} from "../gen/retake/test/v1/quality_pb.js";
import { deferred, eventsOf, kindsOf, rejection, stopServer } from "./harness.ts";

const { FULL, HIGH, MEDIUM, LOW, MINIMAL } = Quality;
const name = (method: string) => `${QualityService.typeName}/${method}`;
const paint = name("Paint");

/** A server on virtual time with handlers that do what they are asked, but for those that the test gives. */
async function start(own: WorkflowImpl<typeof QualityService> = {}, options: TestServerOptions = {}) {
  const test = createTestServer(options);
  test.server.implement(QualityService, {
    paint: ({ strokes, varnish }) => ({ strokes, varnish }),
    async *paintSlowly({ strokes }) {
      yield { update: { case: "strokes", value: strokes } };
    },
    sketch: ({ lines }) => ({ lines }),
    exhibit: async ({ strokes }, context) => ({
      strokes: (await call(context, "paint", QualityService.method.paint, { strokes })).strokes,
    }),
    ...own,
  });
  const listening = test.server.listen();
  await test.clock.advance(0);
  await listening;
  onTestFinished(() => stopServer(test));
  const { transport } = test.server;
  return {
    ...test,
    workflows: createClient(QualityService, transport),
    runs: createClient(RunService, transport),
    admin: createClient(AdminService, transport),
  };
}
type Harness = Awaited<ReturnType<typeof start>>;

function outOfMemory(): ConnectError {
  const error = new ConnectError("CUDA out of memory", Code.ResourceExhausted);
  const value = create(FailureSchema, {
    code: Code.ResourceExhausted,
    category: FailureCategory.MEMORY,
    reason: "CUDA_OUT_OF_MEMORY",
    retryable: true,
  });
  error.details.push({ desc: FailureSchema, value });
  return error;
}

async function startRun({ runs, clock }: Harness, json: object = {}, more: object = {}): Promise<string> {
  const { run } = await runs.startRun({
    workflow: paint,
    input: { case: "json", value: JSON.stringify(json) },
    ...more,
  });
  await clock.advance(0);
  return run?.runId ?? "";
}

async function attemptsOf(harness: Harness, runId: string, upTo?: number) {
  const events = await eventsOf(harness, runId, upTo);
  return events.flatMap(({ event }) => (event.case === "attemptStarted" ? [event.value] : []));
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

const levelOf = async ({ admin }: Harness, workflow = paint) =>
  (await admin.listQualityLevels({})).levels.find((level) => level.workflow === workflow);

const set = ({ admin }: Harness, level: Quality, more: object = {}) =>
  admin.setQualityLevel({ workflow: paint, level, ...more });

const shown = async ({ runs }: Harness, runId: string) => (await runs.getRun({ runId, view: 2 })).run;

describe("a run that runs out of memory", () => {
  /** Takes no more than 60 strokes. */
  const small = (seen: [PaintRequest, WorkflowContext][] = []) => ({
    paint: (request: PaintRequest, context: WorkflowContext) => {
      seen.push([request, context]);
      if (request.strokes > 60) throw outOfMemory();
      return { strokes: request.strokes, varnish: request.varnish };
    },
  });

  it("is retaken one level lower each time, and says what has changed", async () => {
    const seen: [PaintRequest, WorkflowContext][] = [];
    const harness = await start(small(seen));
    const runId = await startRun(harness, { strokes: 100, varnish: true });
    await harness.clock.advance(10_000);
    const run = await shown(harness, runId);
    expect(run?.state).toBe(RunState.SUCCEEDED);
    expect(run?.statistics).toMatchObject({ attempts: 3, retries: 2, qualityAchieved: MEDIUM });
    const effective = (strokes: number, varnish: boolean) =>
      createHash("sha256")
        .update(toBinary(PaintRequestSchema, create(PaintRequestSchema, { strokes, varnish })))
        .digest("hex");
    const attempts = await attemptsOf(harness, runId);
    expect(
      attempts.map(({ quality, changedFields, inputSha256 }) => [quality, changedFields, hex(inputSha256)]),
    ).toEqual([
      [FULL, [], ""],
      [HIGH, ["strokes"], effective(80, true)],
      [MEDIUM, ["strokes", "varnish"], effective(60, false)],
    ]);
    expect(seen.map(([{ strokes, varnish }, { run }]) => [strokes, varnish, run.quality])).toEqual([
      [100, true, FULL],
      [80, true, HIGH],
      [60, false, MEDIUM],
    ]);
    expect(new Set(seen.map(([, { run }]) => run.idempotencyKey)).size).toBe(3);
    expect((await levelOf(harness))?.level).toBe(FULL);
  });

  it("stays lower over a restart, and over failures of other kinds", async () => {
    const options = { failing: true };
    const own = {
      paint: (request: PaintRequest) => {
        if (request.strokes > 80) throw outOfMemory();
        if (options.failing) throw new ConnectError("away", Code.Unavailable);
        return { strokes: request.strokes };
      },
    };
    const first = await start(own);
    const runId = await startRun(first, { strokes: 100 });
    await stopServer(first);
    const second = await start(own, first);
    await second.clock.advance(1500);
    options.failing = false;
    await second.clock.advance(5000);
    expect((await attemptsOf(second, runId)).map(({ quality }) => quality)).toEqual([FULL, HIGH, HIGH]);
  });

  it.each([
    ["the policy's minimum", {}, [FULL, HIGH, MEDIUM, LOW]],
    ["its caller's", { minQuality: HIGH }, [FULL, HIGH]],
    ["its caller's, which is all", { minQuality: FULL }, [FULL]],
    ["the policy's, above its caller's", { minQuality: MINIMAL }, [FULL, HIGH, MEDIUM, LOW]],
  ])("fails at %s", async (_, more, qualities) => {
    const harness = await start({
      paint: () => {
        throw outOfMemory();
      },
    });
    const runId = await startRun(harness, { strokes: 100 }, more);
    await harness.clock.advance(60_000);
    expect((await attemptsOf(harness, runId)).map(({ quality }) => quality)).toEqual(qualities);
    const run = await shown(harness, runId);
    expect(run?.state).toBe(RunState.FAILED);
    expect(run?.failure?.reason).toBe("CUDA_OUT_OF_MEMORY");
  });

  it("lowers itself where no level is declared, for a handler that goes by the quality", async () => {
    const harness = await start({
      sketch: ({ lines }: SketchRequest, { run }: WorkflowContext) => {
        if (run.quality > LOW) throw outOfMemory();
        return { lines: (lines * run.quality) / FULL };
      },
    });
    const runId = await startRun(harness, { lines: 100 }, { workflow: name("Sketch") });
    await harness.clock.advance(60_000);
    const attempts = await attemptsOf(harness, runId);
    expect(attempts.map(({ quality }) => quality)).toEqual([FULL, HIGH, MEDIUM, LOW]);
    expect(attempts.every(({ inputSha256 }) => inputSha256.length === 0)).toBe(true);
  });
});

describe("steps", () => {
  it("of a larger attempt are not those of a smaller one, and are kept within a level", async () => {
    const done: number[] = [];
    const failures = [outOfMemory(), new ConnectError("away", Code.Unavailable)];
    const harness = await start({
      paint: async ({ strokes }, context) => {
        const drawn = await step(context, "draw", PaintResponseSchema, () => {
          done.push(strokes);
          return { strokes };
        });
        const failure = failures.shift();
        if (failure) throw failure;
        return drawn;
      },
    });
    const runId = await startRun(harness, { strokes: 100 });
    await harness.clock.advance(10_000);
    expect(done).toEqual([100, 80]);
    expect((await shown(harness, runId))?.statistics).toMatchObject({ attempts: 3, qualityAchieved: HIGH });
  });

  it("depend on the quality itself where the contract does not say what that changes", async () => {
    const done: Quality[] = [];
    const failures = [outOfMemory(), new ConnectError("away", Code.Unavailable)];
    const harness = await start({
      sketch: async ({ lines }, context) => {
        const drawn = await step(context, "draw", SketchResponseSchema, () => {
          done.push(context.run.quality);
          return { lines };
        });
        const failure = failures.shift();
        if (failure) throw failure;
        return drawn;
      },
    });
    await startRun(harness, { lines: 100 }, { workflow: name("Sketch") });
    await harness.clock.advance(10_000);
    expect(done).toEqual([FULL, HIGH]);
  });
});

describe("the level of a workflow", () => {
  it("falls by the failures of its runs, holds for new ones, and comes back when it is quiet", async () => {
    let broken = true;
    const harness = await start({
      paint: ({ strokes }) => {
        if (broken) throw outOfMemory();
        return { strokes };
      },
    });
    const { clock, workflows } = harness;
    await startRun(harness, { strokes: 100 }, { minQuality: FULL });
    await startRun(harness, { strokes: 100 }, { minQuality: FULL });
    expect((await levelOf(harness))?.level).toBe(FULL);
    await startRun(harness, { strokes: 100 }, { minQuality: FULL });
    expect(await levelOf(harness)).toMatchObject({
      level: HIGH,
      min: LOW,
      cause: QualityCause.FAILURES,
      reason: "3 critical failures within restore_after, the last one CUDA_OUT_OF_MEMORY",
    });
    broken = false;
    const painted = async () => {
      const answer = workflows.paint({ strokes: 100 });
      await clock.advance(0);
      return (await answer).strokes;
    };
    expect(await painted()).toBe(80);
    await clock.advance(60_000);
    expect(await painted()).toBe(100);
    expect(await levelOf(harness)).toMatchObject({ level: FULL, cause: QualityCause.QUIET });
  });

  it.each([
    ["whatever it asks for: it goes down to the least, and stays", {}, [FULL, HIGH, MEDIUM, LOW]],
    ["of runs that take no less than FULL: nothing is known of lower levels", { minQuality: FULL }, [FULL, HIGH]],
  ])("does not flap when every second attempt fails, %s", async (_, more, expected) => {
    let count = 0;
    const harness = await start({
      paint: ({ strokes }) => {
        if (count++ % 2 === 0) throw outOfMemory();
        return { strokes };
      },
    });
    const seen: (Quality | undefined)[] = [];
    for (let round = 0; round < 60; round++) {
      await startRun(harness, { strokes: 100 }, more);
      await harness.clock.advance(10_000);
      const level = (await levelOf(harness))?.level;
      if (seen.at(-1) !== level) seen.push(level);
    }
    expect(seen).toEqual(expected);
  });

  it("is set by operators, with who, why and how long, and rises step by step when that is over", async () => {
    const harness = await start();
    const { clock } = harness;
    const nowMs = clock.now();
    const { level } = await set(harness, MEDIUM, { reason: "heat", holdFor: durationFromMs(600_000) });
    expect(level).toMatchObject({
      workflow: paint,
      level: MEDIUM,
      min: LOW,
      cause: QualityCause.OPERATOR,
      reason: "heat",
      setBy: "in-process",
      heldAt: MEDIUM,
    });
    expect(level?.riseTime).toBeUndefined();
    expect(level?.sinceTime && timestampMs(level.sinceTime)).toBe(nowMs);
    expect(level?.holdExpireTime && timestampMs(level.holdExpireTime)).toBe(nowMs + 600_000);
    await clock.advance(600_000);
    const after = await levelOf(harness);
    expect(after).toMatchObject({ level: MEDIUM, heldAt: Quality.UNSPECIFIED });
    expect(after?.holdExpireTime).toBeUndefined();
    expect(after?.riseTime && timestampMs(after.riseTime)).toBe(nowMs + 660_000);
    await clock.advance(60_000);
    expect((await levelOf(harness))?.level).toBe(HIGH);
    expect((await set(harness, FULL)).level).toMatchObject({ level: FULL, heldAt: Quality.UNSPECIFIED });
  });

  it("is kept over restarts", async () => {
    const first = await start();
    await set(first, LOW, { reason: "heat" });
    const before = await levelOf(first);
    await stopServer(first);
    const second = await start({}, first);
    expect(await levelOf(second)).toEqual(before);
    const runId = await startRun(second, { strokes: 100 });
    expect((await shown(second, runId))?.statistics?.qualityAchieved).toBe(LOW);
  });

  it("holds for the next attempt of runs that wait", async () => {
    const gate = deferred();
    const seen: number[] = [];
    const harness = await start({
      paint: async ({ strokes }) => {
        seen.push(strokes);
        if (seen.length > 1) return { strokes };
        await gate.promise;
        throw new ConnectError("away", Code.Unavailable);
      },
    });
    await startRun(harness, { strokes: 100 });
    await set(harness, HIGH);
    gate.resolve();
    await harness.clock.advance(5000);
    expect(seen).toEqual([100, 80]);
  });

  it("does not hold for runs that take no less: they run at their least", async () => {
    const harness = await start();
    await set(harness, LOW);
    const qualities = [MINIMAL, LOW, MEDIUM, FULL].map(async (minQuality) => {
      const runId = await startRun(harness, { strokes: 100 }, { minQuality });
      return (await shown(harness, runId))?.statistics?.qualityAchieved;
    });
    expect(await Promise.all(qualities)).toEqual([LOW, LOW, MEDIUM, FULL]);
  });

  it("is listed for workflows that can ask for less, page by page", async () => {
    const { admin } = await start();
    const { levels, nextPageToken } = await admin.listQualityLevels({ pageSize: 2 });
    expect(levels).toMatchObject([
      { workflow: paint, level: FULL, min: LOW, cause: QualityCause.UNSPECIFIED },
      { workflow: name("PaintSlowly"), level: FULL, min: MINIMAL },
    ]);
    const rest = await admin.listQualityLevels({ pageSize: 2, pageToken: nextPageToken });
    expect(rest.levels.map(({ workflow }) => workflow)).toEqual([name("Sketch")]);
    expect(rest.nextPageToken).toBe("");
  });
});

describe("SetQualityLevel refuses", () => {
  const refused: readonly (readonly [
    string,
    Parameters<Client<typeof AdminService>["setQualityLevel"]>[0],
    Code,
    string,
  ])[] = [
    ["a workflow that there is not", { workflow: name("Pant"), level: LOW }, Code.NotFound, paint],
    [
      "a workflow that cannot ask for less",
      { workflow: name("Exhibit"), level: LOW },
      Code.FailedPrecondition,
      "retake.v1.quality",
    ],
    [
      "what the policy does not allow",
      { workflow: paint, level: MINIMAL },
      Code.FailedPrecondition,
      "no lower than LOW",
    ],
    ["no level", { workflow: paint }, Code.InvalidArgument, "level"],
    ["to hold FULL", { workflow: paint, level: FULL, holdFor: durationFromMs(5000) }, Code.InvalidArgument, "hold_for"],
    [
      "a hold without time",
      { workflow: paint, level: LOW, holdFor: durationFromMs(5) },
      Code.InvalidArgument,
      "hold_for",
    ],
  ];
  it.each(refused)("%s", async (_, request, code, text) => {
    const { admin } = await start();
    const error = await rejection(admin.setQualityLevel(request), code);
    expect(error.rawMessage).toContain(text);
  });
});

describe("a direct call", () => {
  async function called(harness: Harness, headers: Record<string, string> = {}, strokes = 100) {
    let trailers = new Headers();
    const answer = harness.workflows.paint(
      { strokes },
      {
        headers,
        onTrailer: (received) => {
          trailers = received;
        },
      },
    );
    answer.catch(() => undefined);
    await harness.clock.advance(0);
    return { strokes: (await answer).strokes, quality: trailers.get("retake-quality") };
  }

  it("is told the quality in its trailers, unless it is FULL", async () => {
    const harness = await start();
    expect(await called(harness)).toEqual({ strokes: 100, quality: null });
    await set(harness, MEDIUM);
    expect(await called(harness)).toEqual({ strokes: 60, quality: "MEDIUM" });
    // Also who joins the run of a key after its end.
    const keyed = { "idempotency-key": "k" };
    expect(await called(harness, keyed)).toEqual({ strokes: 60, quality: "MEDIUM" });
    await set(harness, FULL);
    expect(await called(harness, keyed)).toEqual({ strokes: 60, quality: "MEDIUM" });
  });

  it("that streams is told it too", async () => {
    const harness = await start();
    await harness.admin.setQualityLevel({ workflow: name("PaintSlowly"), level: LOW });
    let trailers = new Headers();
    const parts: unknown[] = [];
    const stream = harness.workflows.paintSlowly(
      { strokes: 100 },
      {
        onTrailer: (received) => {
          trailers = received;
        },
      },
    );
    const reading = (async () => {
      for await (const { update } of stream) parts.push(update.value);
    })();
    await harness.clock.advance(0);
    await reading;
    expect(parts).toContain(40);
    expect(trailers.get("retake-quality")).toBe("LOW");
  });

  it("says in its metadata what it takes at least, for the children of its run too", async () => {
    const harness = await start();
    await set(harness, LOW);
    expect(await called(harness, { "retake-min-quality": "HIGH" })).toEqual({ strokes: 80, quality: "HIGH" });
    expect(await called(harness, { "retake-min-quality": "full" })).toEqual({ strokes: 100, quality: null });
    const exhibited = harness.workflows.exhibit({ strokes: 100 }, { headers: { "retake-min-quality": "MEDIUM" } });
    await harness.clock.advance(0);
    expect((await exhibited).strokes).toBe(60);
    const error = await rejection(called(harness, { "retake-min-quality": "best" }), Code.InvalidArgument);
    expect(error.rawMessage).toBe("the metadata retake-min-quality is one of MINIMAL, LOW, MEDIUM, HIGH, FULL");
  });
});

describe("a request that cannot ask for less", () => {
  it("goes to the back-end as it was sent, whatever the level", async () => {
    const harness = await start();
    await set(harness, LOW);
    const runId = await startRun(harness, { strokes: 10 });
    const [attempt] = await attemptsOf(harness, runId);
    expect(attempt).toMatchObject({ quality: LOW, changedFields: [] });
    expect(attempt?.inputSha256).toHaveLength(0);
    expect(kindsOf(await eventsOf(harness, runId))).toEqual(["accepted", "attemptStarted", "succeeded"]);
  });
});
