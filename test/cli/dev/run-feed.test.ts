import { timestampMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { RunFeed } from "../../../src/cli/dev/run-feed.ts";
import { connectRetake } from "../../../src/client/index.ts";
import { systemClock } from "../../../src/clock.ts";
import { WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";
import { startServer } from "../harness.ts";

describe("RunFeed", () => {
  it("tells each event of each new run once, over lost servers too, and nothing of what had ended before", async () => {
    await using server = await startServer();
    const retake = connectRetake({ target: server.env.RETAKE_TARGET });
    const workflows = createClient(WorkflowsService, server.server.transport);
    await workflows.plain({ text: "history" });
    const { runs: history } = await retake.runs.listRuns({});
    while (history.some(({ endTime }) => endTime === undefined || timestampMs(endTime) >= systemClock.now())) {
      await new Promise<void>((resolve) => systemClock.setImmediate(resolve));
    }
    const told: string[] = [];
    const ended = { count: 0, wanted: 0, done: Promise.withResolvers<void>() };
    const feed = new RunFeed(systemClock, {
      onUpdate(run, update) {
        if (update.kind !== "event") return;
        told.push(`${run.runId} ${update.event.sequence}`);
        if (update.event.event.case === "succeeded" && ++ended.count === ended.wanted) ended.done.resolve();
      },
      onMany: () => undefined,
    });
    const follow = async (texts: readonly string[]): Promise<void> => {
      const stop = new AbortController();
      ended.wanted = ended.count + texts.length;
      ended.done = Promise.withResolvers();
      const following = feed.follow(retake, stop.signal);
      // Also what has ended before its first look is told.
      for (const text of texts) await workflows.plain({ text });
      await ended.done.promise;
      stop.abort();
      await following;
    };
    await follow(["one", "two"]);
    await follow(["three"]);
    retake.close();
    expect(new Set(told).size).toBe(told.length);
    expect(new Set(told.map((line) => line.split(" ")[0])).size).toBe(3);
    expect(told.filter((line) => line.endsWith(" 1"))).toHaveLength(3);
  });
});
