import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { step } from "../../src/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createVirtualClock } from "../../src/testing/virtual-clock.ts";
import { PlainResponseSchema } from "../gen/retake/test/v1/workflows_pb.js";
import { startServer, stopServer } from "./harness.ts";
import { metricsOf } from "./metrics.ts";

const config = { web: { port: 0 } };
const workflow = (name: string): string => `retake_workflow="retake.test.v1.WorkflowsService/${name}"`;
const state = (name: string): string => `retake_run_state="${name}"`;

describe("the metrics of runs", () => {
  it("count what became of runs and attempts, and how long they took", async () => {
    const test = await startServer(
      {
        plain: async ({ text }, { signal }) => {
          if (text === "slow") await new Promise((resolve) => signal.addEventListener("abort", resolve));
          if (text === "wrong") throw new ConnectError("no such film", Code.InvalidArgument);
          return { text };
        },
        flaky: (_, { run }) => {
          if (run.attempt === 1) throw new ConnectError("gone", Code.Unavailable);
          return { attempts: run.attempt };
        },
      },
      { config },
    );
    const { server, clock, workflows, runs } = test;
    onTestFinished(() => stopServer(test));
    await workflows.plain({ text: "a" });
    await workflows.plain({ text: "wrong" }).catch(() => undefined);
    const flaky = workflows.flaky({});
    await clock.advance(60_000);
    await flaky;
    const { run } = await runs.startRun({
      workflow: "retake.test.v1.WorkflowsService/Plain",
      input: { case: "json", value: '{"text":"slow"}' },
    });
    await clock.advance(7_000);

    const before = await metricsOf(server);
    expect(before.get(`retake_runs_open{${state("RUNNING")},${workflow("Plain")}}`)).toBe(1);
    expect(before.get(`retake_run_oldest_age_seconds{${state("RUNNING")},${workflow("Plain")}}`)).toBe(7);
    expect(before.get(`retake_runs_started_total{${workflow("Plain")}}`)).toBe(3);
    expect(before.get(`retake_runs_ended_total{${state("SUCCEEDED")},${workflow("Plain")}}`)).toBe(1);
    const failed = `retake_failure_category="VALIDATION",${state("FAILED")},${workflow("Plain")}`;
    expect(before.get(`retake_runs_ended_total{${failed}}`)).toBe(1);
    expect(before.get(`retake_run_duration_seconds_count{${state("SUCCEEDED")},${workflow("Plain")}}`)).toBe(1);
    expect(before.get(`retake_run_queue_duration_seconds_count{${workflow("Plain")}}`)).toBe(3);
    expect(before.get(`retake_retries_total{${workflow("Flaky")}}`)).toBe(1);
    const attempts = (outcome: string): number | undefined =>
      before.get(
        `retake_attempts_total{retake_endpoint="in-process",retake_outcome="${outcome}",${workflow("Flaky")}}`,
      );
    expect([attempts("FAILED"), attempts("SUCCEEDED")]).toEqual([1, 1]);
    expect(before.get("retake_journal_commit_duration_seconds_count")).toBeGreaterThan(6);
    expect(before.get(`retake_quality_level{${workflow("Plain")}}`)).toBe(0);
    expect(before.get("retake_journal_available")).toBe(1);

    await runs.cancelRun({ runId: run?.runId ?? "" });
    await clock.advance(60_000);
    const after = await metricsOf(server);
    expect(after.get(`retake_runs_ended_total{${state("CANCELLED")},${workflow("Plain")}}`)).toBe(1);
    expect(after.get(`retake_runs_open{${state("RUNNING")},${workflow("Plain")}}`)).toBe(0);
    expect(after.has(`retake_run_oldest_age_seconds{${state("RUNNING")},${workflow("Plain")}}`)).toBe(false);
  });

  it("count what was made durable of steps, which are no events of theirs", async () => {
    const test = await startServer(
      {
        plain: async (_, context) => {
          for (const name of ["a", "b", "c"]) await step(context, name, PlainResponseSchema, () => ({}));
          return {};
        },
      },
      { config },
    );
    onTestFinished(() => stopServer(test));
    const commits = async () => (await metricsOf(test.server)).get("retake_journal_commit_duration_seconds_count") ?? 0;
    const before = await commits();
    await test.workflows.plain({});
    // The start, the steps "a" and "b", and "c" with the end.
    expect((await commits()) - before).toBe(4);
  });

  it("know the runs that an earlier process has left", async () => {
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const waiting = { keyed: () => new Promise<never>(() => undefined) };
    const first = await startServer(waiting, { config, clock, storage });
    const call = first.runs.startRun({
      workflow: "retake.test.v1.WorkflowsService/Keyed",
      input: { case: "json", value: '{"text":"a"}' },
      idempotencyKey: "k",
    });
    await clock.advance(0);
    await call;
    await stopServer(first);
    const second = await startServer(waiting, { config, clock, storage });
    onTestFinished(() => stopServer(second));
    await clock.advance(3_000);
    const metrics = await metricsOf(second.server);
    const open = [RunState.QUEUED, RunState.RUNNING].map((one) =>
      metrics.get(`retake_runs_open{${state(RunState[one])},${workflow("Keyed")}}`),
    );
    expect(open.reduce((sum = 0, count = 0) => sum + count)).toBe(1);
    expect(metrics.get(`retake_runs_started_total{${workflow("Keyed")}}`)).toBe(0);
  });
});
