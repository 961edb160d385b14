import { describe, expect, it } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { call, step, type WorkflowContext, type WorkflowImpl } from "../../src/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import type { TestServerOptions } from "../../src/testing/index.ts";
import { createVirtualClock } from "../../src/testing/virtual-clock.ts";
import { PlainResponseSchema, WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { type Harness, startServer, stateOf } from "./harness.ts";

const { keyed } = WorkflowsService.method;

/** A server whose handlers can let virtual time pass. */
async function start(
  own: (nap: (ms: number) => Promise<void>) => WorkflowImpl<typeof WorkflowsService>,
  options: TestServerOptions = {},
): Promise<Harness> {
  const clock = options.clock ?? createVirtualClock();
  const nap = (ms: number): Promise<void> => new Promise((resolve) => clock.setTimeout(resolve, ms));
  return startServer(own(nap), { ...options, clock });
}

async function startRun({ runs, clock }: Harness, method: string, more: object = {}, json = "{}"): Promise<string> {
  const started = runs.startRun({
    workflow: `${WorkflowsService.typeName}/${method}`,
    input: { case: "json", value: json },
    ...more,
  });
  started.catch(() => undefined);
  await clock.advance(10);
  return (await started).run?.runId ?? "";
}

async function statesOf({ runs, clock }: Harness): Promise<string[]> {
  const listed = runs.listRuns({});
  await clock.advance(0);
  return (await listed).runs
    .map(({ workflow, state }) => `${workflow.split("/")[1]} ${RunState[state]}`)
    .toSorted((a, b) => a.localeCompare(b));
}

describe("a place in line", () => {
  it("is given up by a run whose acceptance could not be stored", async () => {
    const clock = createVirtualClock();
    const disk = { failing: false };
    const storage = createMemoryStorage({
      clock,
      durable: async () => {
        if (disk.failing) throw new Error("ENOSPC");
      },
    });
    const first = Promise.withResolvers<void>();
    const server = await start(
      () => ({
        limited: async ({ text }) => {
          if (text === "first") await first.promise;
          return {};
        },
      }),
      { clock, storage },
    );
    await startRun(server, "Limited", {}, '{"text":"first"}');
    disk.failing = true;
    await expect(startRun(server, "Limited", {}, '{"text":"lost"}')).rejects.toThrow("cannot store");
    disk.failing = false;
    await clock.advance(20_000);
    first.resolve();
    await clock.advance(1_000);
    const next = await startRun(server, "Limited", {}, '{"text":"next"}');
    await clock.advance(1_000);
    expect(await stateOf(server, next)).toBe(RunState.SUCCEEDED);
  });

  it("is given up by a parent whose deadline passes while it asks its permit back", async () => {
    const server = await start(
      (nap) => ({
        hurried: async (_, context) => ({ text: (await call(context, "child", keyed, { text: "child" })).text }),
        keyed: async () => {
          await nap(10_000);
          return {};
        },
        plain: async ({ text }) => {
          if (text === "long") await nap(100_000);
          return {};
        },
      }),
      { config: { concurrencyLimit: 1 } },
    );
    const parent = await startRun(server, "Hurried", { timeout: { seconds: 50n } });
    // It gets the place when the child ends, and has it beyond the parent's deadline.
    await startRun(server, "Plain", { priority: 5 }, '{"text":"long"}');
    await server.clock.advance(120_000);
    expect(await stateOf(server, parent)).toBe(RunState.EXPIRED);
    const next = await startRun(server, "Plain");
    await server.clock.advance(10_000);
    expect(await stateOf(server, next)).toBe(RunState.SUCCEEDED);
  });

  it("is given up by a parent that calls another child while it asks its permit back", async () => {
    const server = await start(
      (nap) => ({
        flaky: async (_, context) => {
          const second = async () => {
            await nap(15_000);
            await call(context, "two", keyed, { text: "2" });
          };
          await Promise.all([call(context, "one", keyed, { text: "1" }), second()]);
          return {};
        },
        keyed: async () => {
          await nap(10_000);
          return {};
        },
        plain: async () => {
          await nap(20_000);
          return {};
        },
      }),
      { config: { concurrencyLimit: 1 } },
    );
    await startRun(server, "Flaky");
    await startRun(server, "Plain", { priority: 5 });
    await server.clock.advance(90_000);
    expect(await statesOf(server)).toEqual([
      "Flaky SUCCEEDED",
      "Keyed SUCCEEDED",
      "Keyed SUCCEEDED",
      "Plain SUCCEEDED",
    ]);
  });
});

describe("a crash", () => {
  it("ends the children of the parents that it ends", async () => {
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const callChild = async (_: unknown, context: WorkflowContext) => {
      await call(context, "child", keyed, { text: "child" });
      return {};
    };
    let worked = 0;
    const own = (): WorkflowImpl<typeof WorkflowsService> => ({
      // By its policy an interruption fails it.
      once: callChild,
      plain: callChild,
      keyed: () => {
        worked++;
        return new Promise<never>(() => undefined);
      },
    });
    const before = await start(own, { clock, storage });
    await startRun(before, "Once");
    before.workflows.plain({}).catch(() => undefined);
    await clock.advance(100);
    expect(worked).toBe(2);

    const after = await start(own, { clock, storage });
    await clock.advance(1_000);
    expect(await statesOf(after)).toEqual(["Keyed CANCELLED", "Keyed CANCELLED", "Once FAILED", "Plain CANCELLED"]);
    expect(worked).toBe(2);
  });
});

describe("an attempt that is over", () => {
  it("executes no step any more, however long the step looked for what is known of it", async () => {
    const clock = createVirtualClock();
    const base = createMemoryStorage({ clock });
    let slow = false;
    const storage = {
      ...base,
      payloads: {
        put: base.payloads.put.bind(base.payloads),
        deleteRuns: base.payloads.deleteRuns.bind(base.payloads),
        async get(runId: string, sha256: Uint8Array) {
          if (!slow) return base.payloads.get(runId, sha256);
          await new Promise<void>((resolve) => clock.setTimeout(resolve, 20_000));
          return undefined;
        },
      },
    };
    let executed = 0;
    const server = await start(
      () => ({
        hurried: async (_, context) => {
          slow = executed > 0;
          await step(context, "one", PlainResponseSchema, () => {
            executed++;
            return {};
          });
          if (!slow) throw new Error("after the step");
          return {};
        },
      }),
      { clock, storage },
    );
    const failed = await startRun(server, "Hurried");
    expect(executed).toBe(1);
    const rerun = server.runs.rerunRun({ runId: failed });
    await clock.advance(0);
    const { run } = await rerun;
    await clock.advance(60_000);
    expect(await stateOf(server, run?.runId ?? "")).toBe(RunState.FAILED);
    expect(executed).toBe(1);
  });
});
