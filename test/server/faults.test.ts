import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { FaultEventSchema, type FaultSchema } from "../../gen/retake/v1/fault_pb.js";
import { FailureCategory } from "../../gen/retake/v1/options_pb.js";
import { FailureSchema, type RunEvent, RunState } from "../../gen/retake/v1/run_pb.js";
import { ConfigError } from "../../src/index.ts";
import { durationFromMs, timestampFromMs } from "../../src/runs/time.ts";
import { createTestServer } from "../../src/testing/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { handlers } from "./handlers.ts";
import { eventsOf, type Harness, kindsOf, rejection, startServer, stateOf, stopServer } from "./harness.ts";
import { recordingLogger } from "./listening-server.ts";

const name = (method: string) => `${WorkflowsService.typeName}/${method}`;
const minute = 60_000;

async function start(...args: Parameters<typeof startServer>) {
  const harness = await startServer(...args);
  onTestFinished(() => stopServer(harness));
  return { ...harness, admin: createClient(AdminService, harness.server.transport) };
}

type Served = Awaited<ReturnType<typeof start>>;
type Effect = NonNullable<Exclude<MessageInitShape<typeof FaultSchema>, { $typeName: string }>["effect"]>;

async function inject({ admin }: Served, method: string, effect: Effect, more: { percentage?: number } = {}) {
  const { fault } = await admin.injectFault({
    fault: { workflow: name(method), effect, ...more },
    duration: durationFromMs(10 * minute),
  });
  return fault?.faultId ?? "";
}

async function startRun({ runs, clock }: Harness, method: string): Promise<string> {
  const { run } = await runs.startRun({ workflow: name(method) });
  await clock.advance(0);
  return run?.runId ?? "";
}

function hitsIn(events: readonly RunEvent[]): string[] {
  return events.flatMap(({ event }) => (event.case === "faultInjected" ? [event.value.effect] : []));
}

function failureOf(error: ConnectError) {
  return error.findDetails(FailureSchema)[0];
}

describe("a drill", () => {
  it("fails attempts with a status before the back-end is called, and the run says that it is one", async () => {
    let called = 0;
    const harness = await start({ plain: () => ({ text: `${++called}` }) });
    const faultId = await inject(harness, "Plain", { case: "status", value: { code: "INTERNAL", message: "boom" } });
    const error = await rejection(harness.workflows.plain({}), Code.Internal);
    expect(failureOf(error)).toMatchObject({
      reason: "DRILL_STATUS",
      message: `drill ${faultId}: status INTERNAL: boom`,
    });
    expect(called).toBe(0);
    const events = await eventsOf(harness, error.metadata.get("retake-run-id") ?? "");
    expect(kindsOf(events)).toEqual(["accepted", "attemptStarted", "faultInjected", "attemptFailed", "failed"]);
    expect(hitsIn(events)).toEqual(["status INTERNAL"]);
    await harness.workflows.keyed({ text: "another workflow" });
  });

  it("of retryable faults is got over by the policy, as real ones are", async () => {
    const harness = await start();
    const faultId = await inject(harness, "Flaky", { case: "status", value: {} });
    const runId = await startRun(harness, "Flaky");
    expect(await stateOf(harness, runId)).toBe(RunState.BACKING_OFF);
    await harness.admin.removeFault({ faultId });
    await harness.clock.advance(2_000);
    expect(await stateOf(harness, runId)).toBe(RunState.SUCCEEDED);
    expect(hitsIn(await eventsOf(harness, runId))).toEqual(["status UNAVAILABLE"]);
  });

  it("runs attempts out of memory, as a failure of that category", async () => {
    const harness = await start();
    await inject(harness, "Plain", { case: "outOfMemory", value: {} });
    const failure = failureOf(await rejection(harness.workflows.plain({}), Code.ResourceExhausted));
    expect(failure).toMatchObject({ reason: "DRILL_OUT_OF_MEMORY", category: FailureCategory.MEMORY });
  });

  it("delays the call of the back-end while the attempt's time runs, and ends with its removal", async () => {
    let called = 0;
    const harness = await start({ plain: () => ({ text: `${++called}` }) });
    const faultId = await inject(harness, "Plain", { case: "delay", value: { duration: { seconds: 30n } } });
    const [first, second] = [await startRun(harness, "Plain"), await startRun(harness, "Plain")];
    await harness.runs.cancelRun({ runId: second });
    await harness.clock.advance(29_999);
    expect(called).toBe(0);
    expect([await stateOf(harness, first), await stateOf(harness, second)]).toEqual([
      RunState.RUNNING,
      RunState.CANCELLED,
    ]);
    await harness.clock.advance(1);
    expect(await stateOf(harness, first)).toBe(RunState.SUCCEEDED);
    const third = await startRun(harness, "Plain");
    await harness.admin.removeFault({ faultId });
    await harness.clock.advance(0);
    expect(await stateOf(harness, third)).toBe(RunState.SUCCEEDED);
  });

  it("breaks a stream off, and it is retaken", async () => {
    const harness = await start({
      async *streaming(_, { run }) {
        for (const value of ["one", "two", "three"])
          yield { update: { case: "line", value: `${run.attempt} ${value}` } };
        yield { update: { case: "result", value: "done" } };
      },
    });
    const faultId = await inject(harness, "Streaming", { case: "abort", value: { afterMessages: 2 } });
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const { update } of harness.workflows.streaming({})) {
        if (update.case === "line") seen.push(update.value);
        if (seen.length === 2) await harness.admin.removeFault({ faultId });
      }
    })();
    await harness.clock.advance(1_000);
    await reading;
    expect(seen).toEqual(["1 one", "1 two", "2 one", "2 two", "2 three"]);
  });

  it("stalls a stream until it is cut off", async () => {
    const harness = await start();
    await inject(harness, "Hurried", { case: "stall", value: {} });
    const runId = await startRun(harness, "Hurried");
    await harness.clock.advance(2_999);
    expect(await stateOf(harness, runId)).toBe(RunState.RUNNING);
    await harness.clock.advance(1);
    const { run } = await harness.runs.getRun({ runId });
    expect(run?.failure?.reason).toBe("STALLED");
    expect(hitsIn(await eventsOf(harness, runId))).toEqual(["stall after 0 messages"]);
  });

  it("lets a stalled attempt go on when its own time is over", async () => {
    const harness = await start();
    await inject(harness, "Plain", { case: "stall", value: {} });
    const runId = await startRun(harness, "Plain");
    await harness.clock.advance(10 * minute - 1);
    expect(await stateOf(harness, runId)).toBe(RunState.RUNNING);
    await harness.clock.advance(1);
    expect(await stateOf(harness, runId)).toBe(RunState.SUCCEEDED);
    expect((await harness.admin.listFaults({})).faults).toEqual([]);
    expect(hitsIn(await eventsOf(harness, await startRun(harness, "Plain")))).toEqual([]);
  });

  it("hits the share of attempts that it names", async () => {
    const harness = await start();
    await inject(harness, "Plain", { case: "status", value: {} }, { percentage: 30 });
    let failed = 0;
    for (let i = 0; i < 200; i++) await harness.workflows.plain({}).catch(() => failed++);
    expect(failed).toBeGreaterThan(40);
    expect(failed).toBeLessThan(80);
    const [fault] = (await harness.admin.listFaults({})).faults;
    expect(Number(fault?.hits)).toBe(failed);
  });

  it("goes on after a restart, until its end, and stays away once it was removed", async () => {
    const before = await start();
    const kept = await inject(before, "Plain", { case: "status", value: {} });
    const removed = await inject(before, "Keyed", { case: "status", value: {} });
    await before.admin.removeFault({ faultId: removed });
    await before.clock.advance(5 * minute);
    await stopServer(before);
    const log = recordingLogger();
    const after = await start({}, { clock: before.clock, storage: before.storage, log });
    expect((await after.admin.listFaults({})).faults.map(({ faultId }) => faultId)).toEqual([kept]);
    expect(log.entries).toContainEqual(
      expect.objectContaining({ message: "a drill goes on", fields: { drill: kept, workflow: name("Plain") } }),
    );
    await rejection(after.workflows.plain({}), Code.Unavailable);
    await after.workflows.keyed({});
    await after.clock.advance(5 * minute);
    await after.workflows.plain({});
  });
});

describe("a drill that ends the process", () => {
  it("is refused where the server was not started for that", async () => {
    const harness = await start();
    const error = await rejection(inject(harness, "Plain", { case: "crash", value: {} }), Code.FailedPrecondition);
    expect(error.rawMessage).toContain("--allow-crash-faults");
  });

  it("does so once: the next process retakes the run and has no such drill", async () => {
    let crashes = 0;
    let recordsThen: readonly (string | undefined)[] = [];
    const before = await start(
      {},
      {
        crash: () => {
          crashes += 1;
          void before.storage.journal.read("faults", 0, 10).then((records) => {
            recordsThen = records.map(({ data }) => fromBinary(FaultEventSchema, data).event.case);
          });
        },
      },
    );
    await inject(before, "Plain", { case: "crash", value: {} });
    const runId = await startRun(before, "Plain");
    await startRun(before, "Plain");
    expect([crashes, recordsThen]).toEqual([1, ["injected", "spent"]]);
    await stopServer(before);
    const after = await start({}, { clock: before.clock, storage: before.storage, crash: () => (crashes += 1) });
    await after.clock.advance(0);
    expect(await stateOf(after, runId)).toBe(RunState.SUCCEEDED);
    expect(hitsIn(await eventsOf(after, runId))).toEqual(["crash of the process"]);
    expect([crashes, (await after.admin.listFaults({})).faults]).toEqual([1, []]);
  });
});

describe("InjectFault", () => {
  it.each([
    ["an unknown workflow", { workflow: name("Plian") }, 60_000, Code.NotFound, /Did you mean/],
    ["no end", {}, undefined, Code.InvalidArgument, /how long it lasts/],
    ["an end in the past", { expireTime: timestampFromMs(1) }, undefined, Code.InvalidArgument, /after now/],
    ["an end too far away", { expireTime: timestampFromMs(Date.UTC(2030)) }, undefined, Code.InvalidArgument, /7 days/],
    ["two ends", { expireTime: timestampFromMs(Date.UTC(2026, 0, 2)) }, 60_000, Code.InvalidArgument, /one place/],
    ["no effect", { effect: { case: undefined } }, 60_000, Code.InvalidArgument, /effect/],
    ["a share of nothing", { percentage: 0 }, 60_000, Code.InvalidArgument, /percentage/],
    [
      "a code that is none",
      { effect: { case: "status" as const, value: { code: "OOPS" } } },
      60_000,
      Code.InvalidArgument,
      /code/,
    ],
    ["a delay of nothing", { effect: { case: "delay" as const, value: {} } }, 60_000, Code.InvalidArgument, /duration/],
  ])("refuses %s", async (_, fault, durationMs, code, message) => {
    const { admin } = await start();
    const error = await rejection(
      admin.injectFault({
        fault: { workflow: name("Plain"), effect: { case: "outOfMemory", value: {} }, ...fault },
        ...(durationMs === undefined ? {} : { duration: durationFromMs(durationMs) }),
      }),
      code,
    );
    expect(`${error.rawMessage} ${JSON.stringify(error.details)}`).toMatch(message);
  });

  it("refuses more than a hundred", async () => {
    const harness = await start();
    for (let i = 0; i < 100; i++) await inject(harness, "Plain", { case: "outOfMemory", value: {} });
    await rejection(inject(harness, "Plain", { case: "outOfMemory", value: {} }), Code.ResourceExhausted);
  });
});

describe("RemoveFault", () => {
  it("does not find what is not there, or no more", async () => {
    const harness = await start();
    const faultId = await inject(harness, "Plain", { case: "outOfMemory", value: {} });
    await harness.admin.removeFault({ faultId });
    await rejection(harness.admin.removeFault({ faultId }), Code.NotFound);
  });
});

describe("faults of the configuration", () => {
  const fault = (more: object = {}) => ({
    workflow: name("Plain"),
    effect: { case: "status" as const, value: {} },
    expireTime: timestampFromMs(Date.UTC(2026, 0, 1, 1)),
    ...more,
  });

  it("are on from the start until their end, and not when that has passed", async () => {
    const harness = await start(
      {},
      { config: { faults: [fault(), fault({ workflow: name("Gone"), expireTime: timestampFromMs(1) })] } },
    );
    const { faults } = await harness.admin.listFaults({});
    expect(faults).toMatchObject([{ faultId: expect.stringMatching(/^config-/), injectedBy: "" }]);
    await rejection(harness.workflows.plain({}), Code.Unavailable);
    await harness.clock.advance(60 * minute);
    await harness.workflows.plain({});
  });

  it("stay away once they were removed, and come and go with the configuration", async () => {
    const config = { faults: [fault()] };
    const before = await start({}, { config });
    const [first] = (await before.admin.listFaults({})).faults;
    await before.admin.removeFault({ faultId: first?.faultId ?? "" });
    await stopServer(before);
    const { server, admin, workflows } = await start({}, { config, clock: before.clock, storage: before.storage });
    await workflows.plain({});
    const [grpc, web] = [{ disabled: true }, { disabled: true }];
    await server.reload({ grpc, web, faults: [fault({ percentage: 99 }), fault({ workflow: name("Keyed") })] });
    expect((await admin.listFaults({})).faults).toHaveLength(2);
    await server.reload({ grpc, web });
    expect((await admin.listFaults({})).faults).toEqual([]);
  });

  it.each([
    ["an unknown workflow", { workflow: name("Plian") }, /faults\[0\]\.workflow: there is no workflow .*Did you mean/],
    [
      "an end too far away",
      { expireTime: timestampFromMs(Date.UTC(2026, 1, 1)) },
      /faults\[0\]\.expire_time: .*7 days/,
    ],
    ["the end of the process", { effect: { case: "crash", value: {} } }, /faults\[0\]\.crash: .*--allow-crash-faults/],
    ["no end", { expireTime: undefined }, /faults\[0\]: expire_time is required/],
  ])("are refused with %s", async (_, more, message) => {
    const listening = (async () => {
      const { server } = createTestServer({ config: { faults: [fault(more)] } });
      await server.implement(WorkflowsService, handlers()).listen();
    })();
    await expect(listening).rejects.toThrow(ConfigError);
    await expect(listening).rejects.toThrow(message);
  });
});
