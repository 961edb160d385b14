import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { expect, it, onTestFinished } from "vitest";
import {
  type TextToVideoRequest,
  VideoService,
} from "../../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import { videoHandlers } from "../../../examples/video/handlers.ts";
import { FailureCategory, Quality } from "../../../gen/retake/v1/options_pb.js";
import { FailureSchema, RunState } from "../../../gen/retake/v1/run_pb.js";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { createTestServer } from "../../../src/testing/index.ts";
import { eventsOf, stopServer } from "../../server/harness.ts";

/** A card that holds no more pixels than that. */
const mostPixels = 400_000;

async function* engine({ width = 0, height = 0, steps = 0, upscale }: TextToVideoRequest) {
  if (width * height > mostPixels) {
    const value = create(FailureSchema, {
      code: Code.ResourceExhausted,
      category: FailureCategory.MEMORY,
      reason: "CUDA_OUT_OF_MEMORY",
      retryable: true,
    });
    throw new ConnectError("CUDA out of memory", Code.ResourceExhausted, undefined, [{ desc: FailureSchema, value }]);
  }
  yield { update: { case: "video" as const, value: { width, height, mediaType: `${steps} ${upscale}` } } };
}

it("a film that the card has no room for is made smaller by its contract's rules, twice", async () => {
  const test = createTestServer();
  test.server.implement(VideoService, { ...videoHandlers(), textToVideo: engine });
  const listening = test.server.listen();
  await test.clock.advance(0);
  await listening;
  onTestFinished(() => stopServer(test));
  const runs = createClient(RunService, test.server.transport);
  const request = { prompt: "a boat", width: 1280, height: 720, steps: 50, upscale: true };
  const { run } = await runs.startRun({
    workflow: `${VideoService.typeName}/TextToVideo`,
    input: { case: "json", value: JSON.stringify(request) },
  });
  await test.clock.advance(60_000);
  const ended = (await runs.getRun({ runId: run?.runId ?? "" })).run;
  expect(ended?.state).toBe(RunState.SUCCEEDED);
  expect(ended?.statistics).toMatchObject({ attempts: 3, qualityAchieved: Quality.MEDIUM });
  const attempts = (await eventsOf({ runs }, ended?.runId ?? "")).flatMap(({ event }) =>
    event.case === "attemptStarted" ? [[event.value.quality, event.value.changedFields]] : [],
  );
  expect(attempts).toEqual([
    [Quality.FULL, []],
    [Quality.HIGH, ["width", "height", "steps"]],
    [Quality.MEDIUM, ["width", "height", "steps", "upscale"]],
  ]);
});
