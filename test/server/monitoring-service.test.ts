import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { metrics } from "@opentelemetry/api";
import { describe, expect, it, onTestFinished } from "vitest";
import { AlertSeverity, AlertState } from "../../gen/retake/v1/alert_pb.js";
import type { ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { AlertRuleOrigin, MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import type { Storage } from "../../src/server/index.ts";
import { createTestServer } from "../../src/testing/index.ts";
import { createVirtualClock, type VirtualClock } from "../../src/testing/virtual-clock.ts";
import { startReceiver } from "../monitoring/notifiers/receiver.ts";

type Config = MessageInitShape<typeof ServerConfigSchema>;

const deep = {
  name: "Deep",
  queries: { depth: { metric: "studio_depth" } },
  warning: { at: 10 },
  critical: { at: 20 },
  annotations: { summary: "{{ $value }} wait" },
};

const gauge = (): { record(value: number): void } => metrics.getMeter("studio").createGauge("studio.depth");

async function start(monitoring: object = {}, world: { clock?: VirtualClock; storage?: Storage } = {}) {
  const clock = world.clock ?? createVirtualClock();
  const storage = world.storage ?? createMemoryStorage({ clock });
  const config: Config = { monitoring: { rules: [deep], disabledRules: ["RetakeDeadMan"], ...monitoring } };
  const { server } = createTestServer({ config, clock, storage, env: { KEY: "secret" } });
  await server.listen();
  onTestFinished(() => server.close());
  const client = createClient(MonitoringService, server.transport);
  // Monitoring begins once the server listens.
  for (const begun = client.listAlertRules({}); ; ) {
    if (await Promise.race([begun.then(() => true), clock.advance(1).then(() => false)])) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const depth = gauge();
  const at = async (...values: number[]): Promise<void> => {
    for (const value of values) {
      depth.record(value);
      await clock.advance(10_000);
    }
  };
  return { server, client, clock, storage, at, config };
}

describe("MonitoringService", () => {
  it("lists what fires, counts it, and tells how it has come to that", async () => {
    const { client, at } = await start();
    await at(5, 15, 25);
    const { alerts } = await client.listAlerts({ rule: "Deep" });
    expect(alerts).toMatchObject([
      { rule: "Deep", severity: AlertSeverity.CRITICAL, state: AlertState.FIRING, annotations: { summary: "25 wait" } },
    ]);
    expect((await client.listAlerts({ severities: [AlertSeverity.WARNING], rule: "Deep" })).alerts).toEqual([]);
    expect(await client.getAlertSummary({})).toMatchObject({ critical: 1, acknowledged: 0 });
    const { changes } = await client.listAlertHistory({ rule: "Deep" });
    expect(changes.map(({ previousState, severity }) => [previousState, severity])).toEqual([
      [AlertState.FIRING, AlertSeverity.CRITICAL],
      [AlertState.UNSPECIFIED, AlertSeverity.WARNING],
    ]);
  });

  it("remembers over a restart who looks after an alert, what is silenced and what rules were set", async () => {
    const first = await start();
    await first.at(15);
    const [alert] = (await first.client.listAlerts({ rule: "Deep" })).alerts;
    const alertId = alert?.alertId ?? "";
    await first.client.acknowledgeAlert({ alertId, note: "on it" });
    const matchers = [{ label: "alertname", value: "Deep" }];
    const { silence } = await first.client.setSilence({
      silence: { matchers, comment: "known" },
      duration: { seconds: 3600n },
    });
    await first.client.setAlertRule({ rule: { ...deep, name: "Deeper" } });
    await first.server.close();

    const { client } = await start({}, first);
    expect((await client.listAlerts({ rule: "Deep" })).alerts).toMatchObject([
      { alertId, acknowledgement: { acknowledgedBy: "in-process", note: "on it" }, silenceIds: [silence?.silenceId] },
    ]);
    expect((await client.listAlertHistory({ alertId })).changes).toHaveLength(1);
    const { rules } = await client.listAlertRules({});
    expect(rules.find(({ rule }) => rule?.name === "Deeper")?.origin).toBe(AlertRuleOrigin.SET);
    await client.unacknowledgeAlert({ alertId });
    const { silenceId = "" } = silence ?? {};
    await client.expireSilence({ silenceId });
    const [now] = (await client.listAlerts({ rule: "Deep" })).alerts;
    expect(now).toMatchObject({ silenceIds: [] });
    expect(now?.acknowledgement).toBeUndefined();
  });

  it("takes no older sample for the newest when the clock is set back a little", async () => {
    const { client, clock, at } = await start();
    await at(25, 5);
    const over = [expect.objectContaining({ state: AlertState.RESOLVED })];
    expect((await client.listAlerts({ rule: "Deep" })).alerts).toEqual(over);
    clock.jump(-10_500);
    await at(5, 5, 5);
    expect((await client.listAlerts({ rule: "Deep" })).alerts).toEqual(over);
    expect((await client.listAlertHistory({ rule: "Deep" })).changes).toHaveLength(2);
  });

  it("lets callers follow: all alerts first, then those that change", async () => {
    const { client, at } = await start();
    await at(15);
    const stop = new AbortController();
    const seen = client.watchAlerts({}, { signal: stop.signal })[Symbol.asyncIterator]();
    const deepOf = (value: { alerts: { rule: string; state: AlertState }[] } | undefined) =>
      value?.alerts.find(({ rule }) => rule === "Deep")?.state;
    const { value: first } = await seen.next();
    expect(first?.complete).toBe(true);
    expect(deepOf(first)).toBe(AlertState.FIRING);
    const next = seen.next();
    await at(5);
    const { value: second } = await next;
    expect(second?.complete).toBe(false);
    expect(deepOf(second)).toBe(AlertState.RESOLVED);
    stop.abort();
    await seen.next().catch(() => undefined);
  });

  it("goes by a configuration that is read anew, and refuses one that makes no sense", async () => {
    const { client, at, server, config } = await start();
    await at(15);
    const own = config.monitoring as object;
    await expect(
      server.reload({ ...config, monitoring: { ...own, rules: [{ ...deep, expression: "depth +" }] } }),
    ).rejects.toThrow(/monitoring\.rules\[0\].*Deep/s);
    await server.reload({
      ...config,
      monitoring: { ...own, rules: [{ ...deep, warning: { at: 100 }, critical: { at: 200 } }] },
    });
    await at(15);
    expect((await client.listAlerts({ rule: "Deep" })).alerts).toMatchObject([{ state: AlertState.RESOLVED }]);
    await server.reload({ ...config, monitoring: { ...own, rules: [] } });
    expect((await client.listAlerts({ rule: "Deep" })).alerts).toEqual([]);
  });

  it("tells a notifier of an alert that there is not, for a test, and what came of it", async () => {
    const receiver = await startReceiver({ status: 200 });
    const { client } = await start({
      notifiers: [{ name: "hook", kind: { case: "webhook", value: { url: receiver.url } } }],
    });
    expect(await client.testNotifier({ name: "hook" })).toMatchObject({ delivered: true });
    expect(receiver.received.map(({ body }) => (body as { status: string }).status)).toEqual(["firing", "resolved"]);
    receiver.answer.status = 500;
    expect(await client.testNotifier({ name: "hook" })).toMatchObject({ delivered: false, error: "it answered 500" });
    await expect(client.testNotifier({ name: "hok" })).rejects.toMatchObject({ code: Code.NotFound });
  });

  it.each([
    ["acknowledgeAlert", { alertId: "none" }, Code.NotFound],
    ["expireSilence", { silenceId: "none" }, Code.NotFound],
    ["deleteAlertRule", { name: "None" }, Code.NotFound],
    ["setAlertRule", { rule: { ...deep, expression: "depth +" } }, Code.InvalidArgument],
    [
      "setSilence",
      { silence: { matchers: [{ label: "a", value: "b" }], endTime: { seconds: 253_402_300_799n } } },
      Code.InvalidArgument,
    ],
    [
      "setSilence",
      { silence: { matchers: [{ label: "a", operator: 3, value: "(" }] }, duration: { seconds: 60n } },
      Code.InvalidArgument,
    ],
  ] as const)("refuses %s of what is not there or makes no sense", async (method, request, code) => {
    const { client } = await start();
    await expect(client[method](request as object)).rejects.toMatchObject({ code });
  });

  it("says where nobody watches over anything", async () => {
    const { server } = createTestServer();
    await server.listen();
    onTestFinished(() => server.close());
    const call = createClient(MonitoringService, server.transport).listAlerts({});
    await expect(call).rejects.toMatchObject({ code: Code.FailedPrecondition });
  });
});
