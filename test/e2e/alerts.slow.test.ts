import { createClient } from "@connectrpc/connect";
import { describe, expect, it, vi } from "vitest";
import { AlertSeverity, AlertState } from "../../gen/retake/v1/alert_pb.js";
import { MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { createGrpcTransport } from "../../src/transport/index.ts";
import { WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { startReceiver } from "../monitoring/notifiers/receiver.ts";
import { connect } from "./connection.ts";
import { createServerSite } from "./server-process.ts";

const nameOf = (method: string): string => `${WorkloadService.typeName}/${method}`;

/** Samples are taken each ten seconds, and a notifier that fails is tried again soon. */
const patience = { timeout: 60_000, interval: 250 };

/** What a receiver of the webhook was told to be firing, each at its worst. */
function toldBy(bodies: readonly unknown[]): string[] {
  const alerts = bodies.flatMap((body) => (body as { alerts: Told[] }).alerts);
  const firing = alerts.filter(({ status }) => status === "firing");
  return [...new Set(firing.map(({ labels }) => `${labels.alertname} ${labels.severity}`))].sort();
}

interface Told {
  readonly status: string;
  readonly labels: { readonly alertname: string; readonly severity: string };
}

async function many(count: number, call: () => Promise<unknown>): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => call().catch(() => undefined)));
}

describe("the alerts of a server in real time", () => {
  it("tell of each of several faults, and of nothing else, and go on after kill -9", async () => {
    const receiver = await startReceiver({ status: 200 });
    await using site = await createServerSite({
      config: {
        security: { anonymous_level: "ACCESS_LEVEL_ADMIN" },
        workflows: {
          [nameOf("Held")]: { progress_timeout: "2s", retry: { max_attempts: 1 } },
          [nameOf("Flaky")]: { circuit_breaker: { volume_threshold: 3, reset_timeout: "300s" } },
        },
        monitoring: {
          notifiers: [
            { name: "hook", webhook: { url: receiver.url } },
            { name: "dead", webhook: { url: "http://127.0.0.1:1/" } },
          ],
        },
      },
    });
    const server = site.launch();
    await server.ready;
    using connection = connect(site.grpcPort);
    const { runs, admin } = connection;
    const told = (): string[] => toldBy(receiver.received.map(({ body }) => body));
    await vi.waitFor(() => expect(told()).toContain("RetakeDeadMan warning"), patience);
    expect(told()).toEqual(["RetakeDeadMan warning"]);

    // A load that is well goes on throughout.
    let isOver = false;
    const load = (async () => {
      for (let i = 0; !isOver; i++) {
        await runs.startRun({
          workflow: nameOf("Single"),
          input: { case: "json", value: JSON.stringify({ key: `single ${i}`, text: "a" }) },
        });
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    })().catch(() => undefined);

    const { key } = await admin.createApiKey({ subject: "curious", level: AccessLevel.AUTHENTICATED });
    await many(80, () => admin.listApiKeys({}, { headers: { "x-api-key": key } }));
    await runs.startRun({ workflow: nameOf("Held"), input: { case: "json", value: '{"key":"a","gate":"never"}' } });
    const fault = {
      workflow: nameOf("Flaky"),
      effect: { case: "status", value: { code: "UNAVAILABLE" } },
    } as const;
    await admin.injectFault({ fault, duration: { seconds: 600n } });
    for (let i = 0; i < 4; i++) {
      const input = { case: "json", value: JSON.stringify({ key: `flaky ${i}` }) } as const;
      await runs.startRun({ workflow: nameOf("Flaky"), input });
    }
    // Last: whoever has tried too many is not let in for a while.
    await many(120, () => runs.listRuns({}, { headers: { "x-api-key": "wrong" } }));

    const expected = [
      "RetakeAccessDenied warning",
      "RetakeAuthenticationFailures warning",
      "RetakeBreakerOpen warning",
      "RetakeDeadMan warning",
      "RetakeNotifierFailing warning",
      "RetakeRunStalled warning",
    ];
    await vi.waitFor(() => expect(told()).toEqual(expected), patience);
    isOver = true;
    await load;

    await server.kill();
    await site.launch().ready;
    const transport = createGrpcTransport({ target: `127.0.0.1:${site.grpcPort}` });
    try {
      const monitoring = createClient(MonitoringService, transport);
      const states = [AlertState.FIRING, AlertState.RECOVERING];
      const firing = async (): Promise<string[]> =>
        (await monitoring.listAlerts({ states })).alerts
          .map(({ rule, severity }) => `${rule} ${AlertSeverity[severity]?.toLowerCase()}`)
          .sort();
      // Before it has seen a sample of its own.
      expect(await firing()).toEqual(expected);
      await vi.waitFor(async () => {
        const { changes } = await monitoring.listAlertHistory({ limit: 1_000 });
        expect(
          new Set(changes.map(({ rule, severity }) => `${rule} ${AlertSeverity[severity]?.toLowerCase()}`)),
        ).toEqual(new Set(expected));
        expect(await firing()).toEqual(expect.arrayContaining(["RetakeBreakerOpen warning", "RetakeDeadMan warning"]));
      }, patience);
      expect(told()).toEqual(expected);
    } finally {
      transport.close();
    }
  }, 180_000);
});
