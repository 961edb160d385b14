import { syncBuiltinESMExports } from "node:module";
import v8 from "node:v8";
import { createClient } from "@connectrpc/connect";
import { onTestFinished, vi } from "vitest";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { AlertAbsence } from "../../../gen/retake/v1/alert_pb.js";
import { BreakerMode } from "../../../gen/retake/v1/breaker_pb.js";
import { MetricKind } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { AccessLevel, Quality } from "../../../gen/retake/v1/options_pb.js";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { durationFromMs } from "../../../src/runs/time.ts";
import { QualityService } from "../../gen/retake/test/v1/quality_pb.js";
import { WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";
import { startReceiver } from "../../monitoring/notifiers/receiver.ts";
import { startListening } from "../listening-server.ts";
import { type Durable, hour, minute, nameOf, second, type World, type WorldOptions } from "./world.ts";

/** A fault, and what people must hear of it: all of that, and nothing else. */
export interface FaultCase {
  readonly fault: string;
  /** `Rule severity Method`, each at its worst. */
  readonly raises: readonly string[];
  /** Whether all of that fires still when the fault has lasted for as long as it is played. */
  readonly lasts?: true;
  /** Whether it is tried with every change, and not only with the slow tests. */
  readonly quick?: true;
  readonly world?: WorldOptions;
  play(world: World): Promise<unknown>;
}

const paint = `${QualityService.typeName}/Paint`;
const never = (): Promise<never> => new Promise(() => {});
const internal = { case: "status", value: { code: "INTERNAL" } } as const;
const unavailable = { case: "status", value: { code: "UNAVAILABLE" } } as const;
const refused = { case: "status", value: { code: "INVALID_ARGUMENT" } } as const;
const secret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

/** Runs of several workflows, which succeed. */
const load =
  (...methods: string[]) =>
  async ({ start }: World): Promise<void> => {
    for (const method of methods) await start(method);
  };

/** Many calls at once, over the port. */
async function flood(world: World, count: number, call: () => Promise<unknown>): Promise<void> {
  const calls = Array.from({ length: count }, () => call().catch(() => undefined));
  await world.settle(Promise.all(calls));
}

/** What of the memory is in use, to who asks this process. */
function pretendMemoryShare(share: number): void {
  const spy = vi.spyOn(process, "constrainedMemory").mockImplementation(() => process.memoryUsage.rss() / share);
  onTestFinished(() => spy.mockRestore());
}

const heapStatistics = v8.getHeapStatistics;

/** What of V8's heap is in use, to who asks this process. */
function pretendHeapShare(share: number): void {
  const spy = vi.spyOn(v8, "getHeapStatistics").mockImplementation(() => {
    const found = heapStatistics();
    return { ...found, used_heap_size: found.heap_size_limit * share };
  });
  syncBuiltinESMExports();
  onTestFinished(() => {
    spy.mockRestore();
    syncBuiltinESMExports();
  });
}

/** A disk that takes its time, refuses, or hangs, from when the test says so. */
function disk() {
  const state = { delayMs: 0, refuses: false, hangs: undefined as Promise<void> | undefined };
  const durable: WorldOptions["durable"] =
    (clock): Durable =>
    async () => {
      await state.hangs;
      if (state.refuses) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
      if (state.delayMs > 0) await new Promise<void>((resolve) => clock.setTimeout(resolve, state.delayMs));
    };
  return { state, durable };
}

const slowDisk = disk();
const fullDisk = disk();
const hungDisk = disk();
const pausingDisk = disk();
const busy = { eventLoopDelayMs: 0, memoryShare: 0 };

export const faultCases: readonly FaultCase[] = [
  {
    fault: "none: a server under load that does well",
    raises: [],
    play: (world) => world.pass(15 * minute, () => load("Plain", "Plain", "Flaky", "Keyed", paint)(world)),
  },
  {
    fault: "now and then a run fails",
    raises: [],
    async play(world) {
      await world.pass(2 * minute, () => world.start("Plain", 5));
      await world.inject("Plain", internal, 4);
      await world.pass(5 * minute, () => world.start("Plain", 5));
    },
  },
  {
    fault: "one run in four fails",
    quick: true,
    raises: ["RetakeErrorRate warning Plain"],
    async play(world) {
      await world.inject("Plain", internal, 25);
      await world.pass(3 * minute, () => world.start("Plain", 5));
    },
  },
  {
    fault: "the back-end of a workflow fails",
    raises: ["RetakeErrorRate critical Plain"],
    async play(world) {
      await world.pass(minute, () => load("Plain", "Keyed")(world));
      await world.inject("Plain", internal);
      await world.pass(4 * minute, () => load("Plain", "Plain", "Keyed")(world));
    },
  },
  {
    fault: "a workflow has one run an hour, which always fails",
    raises: ["RetakeRunsFailing warning Plain"],
    async play(world) {
      await world.inject("Plain", internal);
      await world.pass(3 * hour, async (tick) => {
        if (tick % 360 === 30) await world.start("Plain");
      });
    },
  },
  {
    fault: "somebody sends requests now and then that a workflow refuses",
    raises: [],
    async play(world) {
      await world.inject("Plain", refused);
      await world.pass(2 * hour, async (tick) => {
        if (tick % 180 === 30) await world.start("Plain");
      });
    },
  },
  {
    fault: "of the few runs of a workflow every second one fails, and once two in a row",
    raises: [],
    async play(world) {
      for (const fails of [false, true, false, true, true, false, true]) {
        if (fails) await world.inject("Plain", internal);
        await world.start("Plain");
        await world.pass(30 * minute);
        await world.heal();
      }
    },
  },
  {
    fault: "attempts fail, and succeed when they are made again",
    raises: ["RetakeRetries warning Flaky"],
    async play(world) {
      await world.inject("Flaky", unavailable, 45);
      await world.pass(5 * minute, () => world.start("Flaky", 4));
    },
  },
  {
    fault: "runs of a workflow are answered by its fallback",
    raises: ["RetakeFallbacks warning Plain"],
    world: { config: { workflows: { [nameOf("Plain")]: { fallbacks: [nameOf("Keyed")] } } } },
    async play(world) {
      await world.inject("Plain", internal);
      await world.pass(4 * minute, () => world.start("Plain"));
    },
  },
  {
    fault: "the breaker of a workflow is open",
    quick: true,
    raises: ["RetakeBreakerOpen warning Flaky"],
    world: {
      config: {
        workflows: { [nameOf("Flaky")]: { circuitBreaker: { volumeThreshold: 3, resetTimeout: { seconds: 30n } } } },
      },
    },
    async play(world) {
      await world.inject("Flaky", unavailable);
      await world.pass(3 * minute, () => load("Flaky", "Keyed")(world));
    },
  },
  {
    fault: "an attempt stalls",
    quick: true,
    raises: ["RetakeRunStalled warning Hurried"],
    async play(world) {
      await world.pass(minute, () => load("Plain")(world));
      await world.inject("Hurried", { case: "stall", value: {} });
      await world.start("Hurried");
      await world.pass(minute);
    },
  },
  {
    fault: "a queue grows",
    raises: ["RetakeQueueGrowing warning Limited"],
    world: {
      own: { limited: ({ text }) => (text === "" ? never() : { text }) },
      config: { workflows: { [nameOf("Limited")]: { concurrency: { limit: 1, queueLimit: 1000 } } } },
    },
    async play(world) {
      const workflow = nameOf("Limited");
      await world.runs.startRun({ workflow, input: { case: "json", value: '{"text":"quick"}' } });
      await world.pass(12 * minute);
      await world.start("Limited", 60);
      await world.pass(12 * minute);
    },
  },
  {
    fault: "a queue grows by six runs a minute, for two hours",
    raises: ["RetakeQueueGrowing warning Limited"],
    lasts: true,
    world: {
      own: { limited: never },
      config: { workflows: { [nameOf("Limited")]: { concurrency: { limit: 1, queueLimit: 1000 } } } },
    },
    play: (world) => world.pass(2 * hour, () => world.start("Limited")),
  },
  {
    fault: "a full queue refuses runs",
    raises: ["RetakeRunsRefused warning"],
    world: { own: { limited: never }, port: true },
    async play(world) {
      await world.start("Limited", 3);
      await world.pass(minute);
      const { startRun } = createClient(RunService, world.remote);
      await flood(world, 40, () => startRun({ workflow: nameOf("Limited") }));
      await world.pass(2 * minute);
    },
  },
  {
    fault: "an overloaded server refuses runs",
    raises: ["RetakeRunsRefused warning"],
    world: { port: true, load: { start: () => {}, read: () => busy, stop: () => {} } },
    async play(world) {
      onTestFinished(() => {
        busy.memoryShare = 0;
      });
      await world.pass(minute);
      busy.memoryShare = 0.97;
      const { startRun } = createClient(RunService, world.remote);
      await world.pass(3 * minute, () => flood(world, 8, () => startRun({ workflow: nameOf("Plain") })));
    },
  },
  {
    fault: "the quality of a workflow is low for long",
    raises: ["RetakeQualityLow warning Paint"],
    async play(world) {
      await world.pass(minute);
      await world.admin.setQualityLevel({ workflow: paint, level: Quality.MEDIUM, reason: "a card is away" });
      await world.pass(36 * minute);
    },
  },
  {
    fault: "the quality of a workflow is low for a while",
    raises: [],
    async play(world) {
      await world.admin.setQualityLevel({ workflow: paint, level: Quality.LOW, reason: "a card is away" });
      await world.pass(20 * minute);
      await world.admin.setQualityLevel({ workflow: paint, level: Quality.FULL, reason: "it is back" });
      await world.pass(10 * minute);
    },
  },
  {
    fault: "memory runs out",
    quick: true,
    raises: ["RetakeMemory critical"],
    async play(world) {
      pretendMemoryShare(0.97);
      await world.pass(3 * minute);
    },
  },
  {
    fault: "memory becomes scarce",
    raises: ["RetakeMemory warning"],
    async play(world) {
      pretendMemoryShare(0.88);
      await world.pass(3 * minute);
    },
  },
  {
    fault: "the heap of V8 is nearly full, on a machine with much memory",
    quick: true,
    raises: ["RetakeHeap critical"],
    async play(world) {
      await world.pass(minute);
      pretendHeapShare(0.97);
      await world.pass(4 * minute);
    },
  },
  {
    fault: "the heap of V8 fills, and is nearly empty after each collection of garbage",
    raises: [],
    async play(world) {
      await world.pass(10 * minute, async (tick) => pretendHeapShare(tick % 6 === 0 ? 0.4 : 0.97));
    },
  },
  {
    fault: "the disk of the journal is slow",
    raises: ["RetakeJournalSlow warning"],
    world: { durable: slowDisk.durable },
    async play(world) {
      await world.pass(minute, () => world.start("Plain"));
      slowDisk.state.delayMs = 400;
      onTestFinished(() => {
        slowDisk.state.delayMs = 0;
      });
      await world.pass(3 * minute, async () => void world.start("Plain", 2));
    },
  },
  {
    fault: "the disk of the journal is full",
    raises: ["RetakeJournalUnavailable critical"],
    world: { durable: fullDisk.durable, port: true },
    async play(world) {
      await world.pass(minute, () => world.start("Plain"));
      fullDisk.state.refuses = true;
      onTestFinished(() => {
        fullDisk.state.refuses = false;
      });
      const { startRun } = createClient(RunService, world.remote);
      await world.pass(3 * minute, () => flood(world, 10, () => startRun({ workflow: nameOf("Plain") })));
    },
  },
  {
    fault: "the disk of the journal hangs",
    quick: true,
    raises: ["RetakeJournalHangs critical"],
    world: { durable: hungDisk.durable },
    async play(world) {
      await world.pass(minute, () => world.start("Plain"));
      const hang = Promise.withResolvers<void>();
      hungDisk.state.hangs = hang.promise;
      onTestFinished(() => {
        hungDisk.state.hangs = undefined;
      });
      await world.pass(2 * minute, async () => void world.start("Plain"));
      hang.resolve();
    },
  },
  {
    fault: "a disk answers after seconds, once",
    raises: [],
    world: { durable: pausingDisk.durable },
    async play(world) {
      onTestFinished(() => {
        pausingDisk.state.delayMs = 0;
      });
      await world.pass(5 * minute, async (tick) => {
        pausingDisk.state.delayMs = tick === 6 ? 6 * second : 0;
        void world.start("Plain", 20);
      });
    },
  },
  {
    fault: "somebody counts by what has too many values",
    quick: true,
    raises: ["RetakeSeriesRefused warning"],
    world: { config: { monitoring: { series: { limit: 800 } } } },
    async play(world) {
      await world.pass(minute);
      for (let from = 0; from < 900; from += 100) {
        const records = Array.from({ length: 100 }, (_, i) => ({
          ...{ name: "studio.frames", kind: MetricKind.COUNTER, value: 1 },
          attributes: { frame: String(from + i) },
        }));
        await world.monitoring.recordMetric({ records });
      }
      await world.pass(minute);
    },
  },
  {
    fault: "somebody tries credentials",
    quick: true,
    raises: ["RetakeAuthenticationFailures warning"],
    world: { port: true },
    async play(world) {
      await world.pass(minute);
      const { listRuns } = createClient(RunService, world.remote);
      await flood(world, 100, () => listRuns({}, { headers: { "x-api-key": "wrong" } }));
      await world.pass(minute);
    },
  },
  {
    fault: "somebody has forgotten a credential",
    raises: [],
    world: { port: true },
    async play(world) {
      await world.pass(minute);
      const { listRuns } = createClient(RunService, world.remote);
      await flood(world, 3, () => listRuns({}, { headers: { "x-api-key": "wrong" } }));
      await world.pass(6 * minute);
    },
  },
  {
    fault: "somebody calls what they may not",
    raises: ["RetakeAccessDenied warning"],
    world: { port: true },
    async play(world) {
      const { key } = await world.admin.createApiKey({ subject: "curious", level: AccessLevel.AUTHENTICATED });
      await world.pass(minute);
      const { listApiKeys } = createClient(AdminService, world.remote);
      await flood(world, 100, () => listApiKeys({}, { headers: { "x-api-key": key } }));
      await world.pass(minute);
    },
  },
  {
    fault: "callers call methods that there are not, send nonsense, and leave",
    raises: [],
    world: { port: true, own: { plain: never } },
    async play(world) {
      const workflows = createClient(WorkflowsService, world.remote);
      await world.pass(3 * minute, async () => {
        const left = new AbortController();
        const attached = workflows.plain({}, { signal: left.signal }).catch(() => undefined);
        await world.clock.advance(5 * second);
        left.abort();
        await world.settle(attached);
        const { startRun } = createClient(RunService, world.remote);
        await flood(world, 5, () => startRun({ workflow: "no.such.Service/Method" }));
        await flood(world, 5, () => startRun({ workflow: nameOf("Flaky"), input: { case: "json", value: "{" } }));
      });
    },
  },
  {
    fault: "a notifier cannot be reached",
    raises: ["RetakeNotifierFailing warning hook"],
    world: {
      config: {
        monitoring: { notifiers: [{ name: "hook", kind: { case: "webhook", value: { url: "http://127.0.0.1:1/" } } }] },
      },
    },
    play: (world) => world.pass(10 * minute, () => realTurns(world)),
  },
  {
    fault: "a notifier refuses what it is told",
    raises: ["RetakeNotifierFailing warning hook"],
    async play(world) {
      const { url } = await startReceiver({ status: 400 });
      await world.reload({ monitoring: { notifiers: [{ name: "hook", kind: { case: "webhook", value: { url } } }] } });
      await world.pass(10 * minute, () => realTurns(world));
    },
  },
  {
    fault: "who is to be told the ends of runs cannot be reached",
    raises: ["RetakeWebhookFailing warning Plain"],
    world: {
      env: { SECRET: secret },
      config: {
        workflows: { [nameOf("Plain")]: { notify: { url: "http://127.0.0.1:1/ends" } } },
        webhooks: { secrets: [{ source: { case: "environment", value: "SECRET" } }] },
      },
    },
    async play(world) {
      await world.start("Plain", 2);
      await world.pass(10 * minute, () => realTurns(world));
    },
  },
  {
    fault: "runs take far longer than they did",
    raises: ["RetakeSlowRuns warning Plain"],
    async play(world) {
      await world.pass(40 * minute, () => world.start("Plain"));
      await world.inject("Plain", { case: "delay", value: { duration: { seconds: 60n } } });
      await world.pass(9 * minute, () => world.start("Plain"));
    },
  },
  {
    fault: "runs take far longer than they did, for two hours",
    raises: ["RetakeSlowRuns warning Plain"],
    lasts: true,
    async play(world) {
      await world.pass(3 * hour, () => world.start("Plain"));
      await world.inject("Plain", { case: "delay", value: { duration: { seconds: 60n } } });
      await world.pass(2 * hour, () => world.start("Plain"));
    },
  },
  {
    fault: "a run does not end",
    raises: ["RetakeRunStuck warning Keyed"],
    world: { own: { keyed: never } },
    async play(world) {
      await world.start("Keyed");
      await world.pass(6 * hour + minute);
    },
  },
  {
    fault: "a workflow is paused, and forgotten",
    raises: ["RetakeRunParked warning Keyed"],
    async play(world) {
      await world.runs.pauseWorkflow({ workflow: nameOf("Keyed"), reason: "for a moment" });
      await world.start("Keyed");
      await world.pass(hour + minute);
    },
  },
  {
    fault: "runs wait for hours because the breaker is open",
    raises: ["RetakeBreakerOpen warning Flaky", "RetakeRunParked warning Flaky"],
    world: {
      config: { workflows: { [nameOf("Flaky")]: { circuitBreaker: {}, timeout: durationFromMs(24 * hour) } } },
    },
    async play(world) {
      const forced = { mode: BreakerMode.FORCED_OPEN, ttl: durationFromMs(24 * hour), reason: "the cards are away" };
      await world.admin.forceBreaker({ workflow: nameOf("Flaky"), ...forced });
      await world.start("Flaky");
      await world.pass(hour + minute);
    },
  },
  {
    fault: "a back-end does not stop when its run is cancelled",
    raises: ["RetakeCancelSlow warning Keyed"],
    world: {
      own: { keyed: never },
      config: { workflows: { [nameOf("Keyed")]: { cancelGrace: durationFromMs(hour) } } },
    },
    async play(world) {
      const { run } = await world.runs.startRun({ workflow: nameOf("Keyed") });
      await world.pass(minute);
      await world.runs.cancelRun({ runId: run?.runId ?? "" });
      await world.pass(31 * minute);
    },
  },
  {
    fault: "the fallback of a workflow does not end",
    raises: ["RetakeRunStuck warning Keyed", "RetakeRunStuck warning Plain"],
    world: {
      own: { keyed: never },
      config: { workflows: { [nameOf("Plain")]: { fallbacks: [nameOf("Keyed")] } } },
    },
    async play(world) {
      await world.inject("Plain", internal);
      await world.start("Plain");
      await world.pass(6 * hour + minute);
    },
  },
  {
    fault: "the cards of a back-end run out of memory, whatever the quality",
    raises: ["RetakeErrorRate critical Paint", "RetakeQualityLow critical Paint"],
    async play(world) {
      const fault = { workflow: paint, effect: { case: "outOfMemory", value: {} } as const, percentage: 100 };
      await world.admin.injectFault({ fault, duration: durationFromMs(hour) });
      await world.pass(36 * minute, () => world.start(paint));
    },
  },
  {
    fault: "the event loop has too much to do",
    raises: ["RetakeEventLoopDelay warning"],
    async play(world) {
      await world.pass(90 * second, async () => {
        // What measures it looks every 20 ms: before, and after.
        await new Promise((resolve) => setTimeout(resolve, 60));
        const untilMs = performance.now() + 450;
        while (performance.now() < untilMs);
        await new Promise((resolve) => setTimeout(resolve, 30));
      });
    },
  },
  {
    fault: "one of two endpoints of a back-end can be reached",
    raises: [`RetakeEndpointsDown warning ${WorkflowsService.typeName}`],
    world: {
      elsewhere: true,
      config: { backends: [{ service: WorkflowsService.typeName, endpoints: [{ target: "127.0.0.1:1" }] }] },
    },
    async play(world) {
      const { grpcPort } = await startListening();
      // The one that is there has a while of real time to say that it is well.
      const healthCheck = { interval: { seconds: 30n }, timeout: { seconds: 20n } };
      const endpoints = [grpcPort, 1].map((port) => ({ target: `127.0.0.1:${port}`, healthCheck }));
      await world.reload({ backends: [{ service: WorkflowsService.typeName, endpoints }] });
      for (let passedMs = 0; passedMs < 3 * minute; passedMs += second) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        await world.clock.advance(second);
      }
    },
  },
  {
    fault: "no endpoint of a back-end can be reached",
    raises: [`RetakeEndpointsDown critical ${WorkflowsService.typeName}`],
    world: {
      elsewhere: true,
      config: { backends: [{ service: WorkflowsService.typeName, endpoints: [{ target: "127.0.0.1:1" }] }] },
    },
    play: (world) => world.pass(4 * minute, () => realTurns(world)),
  },
  {
    fault: "the clock is set forward by a day",
    raises: [],
    world: { own: { keyed: never } },
    async play(world) {
      await world.start("Keyed");
      await world.pass(3 * minute, () => world.start("Plain", 2));
      world.clock.jump(24 * hour);
      await world.pass(6 * minute, () => world.start("Plain", 2));
    },
  },
  {
    fault: "the clock is set back by a day",
    quick: true,
    raises: [],
    world: { own: { keyed: never } },
    async play(world) {
      await world.start("Keyed");
      await world.pass(3 * minute, () => world.start("Plain", 2));
      world.clock.jump(-24 * hour);
      await world.pass(6 * minute, () => world.start("Plain", 2));
    },
  },
  {
    fault: "a promise to callers is about to be broken within hours",
    raises: [
      "RetakeErrorRate warning Plain",
      ...["Fast", "Slow"].map((pace) => `SloAvailability${pace}_retake_test_v1_WorkflowsService_Plain critical Plain`),
      ...["Day", "Days"].map((pace) => `SloAvailability${pace}_retake_test_v1_WorkflowsService_Plain warning Plain`),
    ],
    world: { config: { monitoring: { slos: [{ workflow: nameOf("Plain"), availability: 0.99 }] } } },
    async play(world) {
      await world.pass(minute, () => world.start("Plain", 5));
      await world.inject("Plain", internal, 30);
      await world.pass(4 * minute, () => world.start("Plain", 5));
    },
  },
  {
    fault: "a promise to callers would be broken before its thirty days are over",
    raises: ["Day", "Days"].map((pace) => `SloAvailability${pace}_retake_test_v1_WorkflowsService_Plain warning Plain`),
    world: { config: { monitoring: { slos: [{ workflow: nameOf("Plain"), availability: 0.99 }] } } },
    async play(world) {
      await world.pass(2 * minute, () => world.start("Plain", 10));
      await world.inject("Plain", internal, 5.5);
      await world.pass(10 * minute, () => world.start("Plain", 10));
    },
  },
  {
    fault: "a promise to callers is about to be broken: what succeeds takes too long",
    raises: ["Fast", "Slow", "Day", "Days"].map(
      (pace) =>
        `SloLatency${pace}_retake_test_v1_WorkflowsService_Plain ${pace.startsWith("Day") ? "warning" : "critical"} Plain`,
    ),
    world: {
      config: {
        monitoring: {
          slos: [{ workflow: nameOf("Plain"), latency: { threshold: { seconds: 5n }, objective: 0.99 } }],
        },
      },
    },
    async play(world) {
      await world.pass(minute, () => world.start("Plain", 2));
      await world.inject("Plain", { case: "delay", value: { duration: { seconds: 8n } } }, 50);
      await world.pass(4 * minute, () => world.start("Plain", 2));
    },
  },
  {
    fault: "a metric that a rule needs is not there any more",
    quick: true,
    raises: ["BreakerUnknown warning"],
    world: {
      config: {
        workflows: { [nameOf("Flaky")]: { circuitBreaker: {} } },
        monitoring: {
          rules: [
            {
              name: "BreakerUnknown",
              queries: { state: { metric: "retake_breaker_state" } },
              warning: { at: 10 },
              noData: AlertAbsence.ALERT,
            },
          ],
        },
      },
    },
    async play(world) {
      await world.pass(2 * minute);
      await world.reload({ workflows: {} });
      await world.pass(7 * minute);
    },
  },
];

/** What waits for real input and output gets its turn, a few times. */
async function realTurns(world: World): Promise<void> {
  for (let turn = 0; turn < 8; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    await world.clock.advance(0);
  }
}
