import { createClient } from "@connectrpc/connect";
import { metrics } from "@opentelemetry/api";
import { expect, it, onTestFinished } from "vitest";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { AlertState } from "../../gen/retake/v1/alert_pb.js";
import { MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import { Quality } from "../../gen/retake/v1/options_pb.js";
import { QualityCause } from "../../gen/retake/v1/quality_level_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { createTestServer, type TestServer } from "../../src/testing/test-server.ts";
import { QualityService } from "../gen/retake/test/v1/quality_pb.js";
import { stopServer } from "./harness.ts";

const { FULL, HIGH, MEDIUM, LOW } = Quality;
/** Its policy: no lower than LOW, and up again after a minute. */
const paint = `${QualityService.typeName}/Paint`;
const second = 1_000;
const minute = 60 * second;

const hot = {
  name: "Hot",
  queries: { heat: { metric: "studio_heat" } },
  warning: { at: 80, clear: 60 },
  lowerQuality: { workflow: paint },
};

async function start(rule: object = hot, world?: TestServer) {
  const config = { monitoring: { rules: [rule], disabledRules: ["RetakeDeadMan"] } };
  const test = createTestServer({ ...world, config });
  test.server.implement(QualityService, {
    paint: ({ strokes, varnish }) => ({ strokes, varnish }),
    async *paintSlowly({ strokes }) {
      yield { update: { case: "strokes", value: strokes } };
    },
    sketch: ({ lines }) => ({ lines }),
    exhibit: ({ strokes }) => ({ strokes }),
  });
  const listening = test.server.listen();
  await test.clock.advance(0);
  await listening;
  onTestFinished(() => stopServer(test));
  const { transport } = test.server;
  const [admin, monitoring] = [createClient(AdminService, transport), createClient(MonitoringService, transport)];
  const workflows = createClient(QualityService, transport);
  // Monitoring begins once the server listens.
  for (const begun = monitoring.listAlertRules({}); ; ) {
    if (await Promise.race([begun.then(() => true), test.clock.advance(1).then(() => false)])) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const heat = metrics.getMeter("studio").createGauge("studio.heat");
  const levelOf = async () => (await admin.listQualityLevels({})).levels.find(({ workflow }) => workflow === paint);
  return {
    ...test,
    levelOf,
    /** Lets time pass at a temperature; the levels after each sample. */
    async at(degrees: number, ms: number): Promise<(Quality | undefined)[]> {
      const levels: (Quality | undefined)[] = [];
      for (let passedMs = 0; passedMs < ms; passedMs += 10 * second) {
        heat.record(degrees);
        await test.clock.advance(10 * second);
        levels.push((await levelOf())?.level);
      }
      return levels;
    },
    /** How many of a hundred strokes a run paints now, and whether it says why. */
    async strokes(): Promise<number> {
      const runs = createClient(RunService, transport);
      const { run } = await runs.startRun({ workflow: paint, input: { case: "json", value: '{"strokes":100}' } });
      await test.clock.advance(0);
      const found = await runs.getRun({ runId: run?.runId ?? "", view: 2 });
      const [level] = [(await levelOf())?.level];
      expect(found.run?.statistics?.qualityAchieved).toBe(level);
      return (await workflows.paint({ strokes: 100 })).strokes;
    },
    async state(): Promise<AlertState | undefined> {
      return (await monitoring.listAlerts({ rule: "Hot" })).alerts[0]?.state;
    },
  };
}

/** What follows what, each once. */
function steps<T>(values: readonly T[]): T[] {
  return values.filter((value, i) => i === 0 || value !== values[i - 1]);
}

it("an alert that fires lowers the quality of a workflow step by step, and its runs ask for less", async () => {
  const studio = await start();
  expect(await studio.at(50, minute)).toEqual(Array(6).fill(FULL));
  expect(await studio.strokes()).toBe(100);
  expect(await studio.at(90, 10 * second)).toEqual([HIGH]);
  expect(await studio.levelOf()).toMatchObject({ cause: QualityCause.ALERT, reason: "Hot: the alert fires" });
  expect(await studio.strokes()).toBe(80);
  // Another step each time that it would have had the time to rise, and no further than the policy lets it.
  expect(steps(await studio.at(90, 4 * minute))).toEqual([HIGH, MEDIUM, LOW]);
  expect(await studio.strokes()).toBe(40);
});

it("the quality comes back a level at a time, once it has been quiet for long enough", async () => {
  const studio = await start();
  await studio.at(90, 70 * second);
  expect((await studio.levelOf())?.level).toBe(MEDIUM);
  // Not yet well again: the alert fires on, between the threshold and the one that clears it.
  expect(steps(await studio.at(70, 3 * minute))).toEqual([MEDIUM, LOW]);
  expect(await studio.state()).toBe(AlertState.FIRING);
  const rising = await studio.at(50, 4 * minute);
  expect(await studio.state()).toBe(AlertState.RESOLVED);
  expect(steps(rising)).toEqual([LOW, MEDIUM, HIGH, FULL]);
  // A minute of quiet for each.
  expect([MEDIUM, HIGH].map((level) => rising.filter((each) => each === level).length)).toEqual([6, 6]);
  expect(await studio.strokes()).toBe(100);
});

it("the quality that falls back soon after it has risen stays low for twice as long", async () => {
  const studio = await start();
  const first = steps(await studio.at(90, 10 * second));
  const quiet = await studio.at(50, 70 * second);
  expect([...first, ...steps(quiet)]).toEqual([HIGH, HIGH, FULL]);
  expect(await studio.at(90, 10 * second)).toEqual([HIGH]);
  const longer = await studio.at(50, 140 * second);
  expect(longer.filter((level) => level === HIGH).length).toBe(2 * quiet.filter((level) => level === HIGH).length + 1);
  expect(longer.at(-1)).toBe(FULL);
});

it("the quality stays low over a restart while the alert fires, and no lower than the rule says", async () => {
  const rule = { ...hot, lowerQuality: { workflow: paint, level: HIGH } };
  const first = await start(rule);
  expect(steps(await first.at(90, 3 * minute))).toEqual([HIGH]);
  await stopServer(first);
  const studio = await start(rule, first);
  expect((await studio.levelOf())?.level).toBe(HIGH);
  expect(steps(await studio.at(90, 3 * minute))).toEqual([HIGH]);
  expect(steps(await studio.at(50, 2 * minute))).toEqual([HIGH, FULL]);
});
