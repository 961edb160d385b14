import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { expect, it, onTestFinished } from "vitest";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { systemClock } from "../../../src/clock.ts";
import { createNotifiers } from "../../../src/monitoring/notifiers/create-notifier.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { temporaryDirectory } from "../../runs/sqlite/temporary-directory.ts";
import { startListening } from "../../server/listening-server.ts";
import { describeWithTool } from "../../tools.ts";
import { notice } from "./notices.ts";
import { startReceiver } from "./receiver.ts";

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startAlertmanager(webhook: string): Promise<string> {
  const directory = temporaryDirectory();
  const config = join(directory, "alertmanager.yml");
  writeFileSync(
    config,
    `route: { receiver: hook, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h }
receivers: [{ name: hook, webhook_configs: [{ url: "${webhook}", send_resolved: true }] }]
`,
  );
  const port = await freePort();
  const listen = `--web.listen-address=127.0.0.1:${port}`;
  const storage = `--storage.path=${join(directory, "data")}`;
  const child: ChildProcess = spawn(
    "prometheus-alertmanager",
    [`--config.file=${config}`, storage, listen, "--cluster.listen-address="],
    { stdio: "ignore" },
  );
  onTestFinished(async () => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill();
    await ended;
  });
  const url = `http://127.0.0.1:${port}`;
  await expect
    .poll(async () => (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok, { timeout: 20_000 })
    .toBe(true);
  return url;
}

interface Group {
  readonly status: string;
  readonly alerts: readonly { readonly status: string; readonly labels: Record<string, string> }[];
}

describeWithTool("prometheus-alertmanager", "a real Alertmanager", () => {
  it("takes our alerts, groups them, tells them on, and that they are over", { timeout: 60_000 }, async () => {
    const { url: hook, received } = await startReceiver({ status: 200 });
    const url = await startAlertmanager(hook);
    const [manager] = await createNotifiers(
      [{ name: "am", what: { kind: "alertmanager", url }, timeoutMs: 5_000, maxPerMinute: 60 }],
      { env: {}, source: "here", externalUrl: "https://retake.example", clock: systemClock, log: silentLogger },
    );
    const startMs = Date.now() - 1_000;
    const [a, b] = ["a", "b"].map((queue) => {
      const own = notice({ fingerprint: queue, startMs });
      return { ...own, labels: { ...own.labels, queue } };
    });
    if (manager === undefined || a === undefined || b === undefined) throw new Error("there is none");
    const signal = new AbortController().signal;
    expect(await manager.send({ notices: [a, b], id: "1", signal })).toEqual({ kind: "delivered" });
    const groups = (): Group[] => received.map(({ body }) => body as Group);
    const firing = (group: Group | undefined): (string | undefined)[] =>
      (group?.alerts ?? []).filter(({ status }) => status === "firing").map(({ labels }) => labels["queue"]);
    await expect.poll(() => firing(groups().at(-1)).sort(), { timeout: 20_000 }).toEqual(["a", "b"]);

    const endMs = Date.now();
    const over = [a, b].map((each) => ({ ...each, status: "resolved" as const, endMs }));
    expect(await manager.send({ notices: over, id: "2", signal })).toEqual({ kind: "delivered" });
    await expect.poll(() => groups().at(-1)?.status, { timeout: 20_000 }).toBe("resolved");
    expect(firing(groups().at(-1))).toEqual([]);
    const left = (await (await fetch(`${url}/api/v2/alerts?active=true`)).json()) as unknown[];
    expect(left).toEqual([]);
  });

  it("hears from a server what fires, what is over, and of nothing that never was", { timeout: 90_000 }, async () => {
    const { url: hook, received } = await startReceiver({ status: 200 });
    const url = await startAlertmanager(hook);
    const { server } = await startListening(
      {},
      { config: { monitoring: { notifiers: [{ name: "am", kind: { case: "alertmanager", value: { url } } }] } } },
    );
    const monitoring = createClient(MonitoringService, server.transport);
    const queries = { up: { metric: "process_uptime_seconds" } };
    await monitoring.setAlertRule({ rule: { name: "Up", queries, critical: { at: -1 } } });
    const told = (): string[] =>
      received.flatMap(({ body }) =>
        (body as Group).alerts.map(({ status, labels }) => `${labels["alertname"]} ${labels["severity"]} ${status}`),
      );
    await expect.poll(told, { timeout: 40_000 }).toContain("Up critical firing");
    await monitoring.deleteAlertRule({ name: "Up" });
    await expect.poll(told, { timeout: 40_000 }).toContain("Up critical resolved");
    expect(new Set(told().filter((line) => line.startsWith("Up ")))).toEqual(
      new Set(["Up critical firing", "Up critical resolved"]),
    );
    expect(told()).toContain("RetakeDeadMan warning firing");
    expect(told()).not.toContain("RetakeDeadMan critical resolved");
  });
});
