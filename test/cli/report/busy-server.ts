import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import type { Report } from "../../../gen/retake/v1/report_pb.js";
import { silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { createServer } from "../../../src/server/index.ts";
import { createSeededRandom } from "../../../src/testing/seeded-random.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";
import { handlers } from "../../server/handlers.ts";

const plain = "retake.test.v1.WorkflowsService/Plain";
const flaky = "retake.test.v1.WorkflowsService/Flaky";

const minutes = 180;

/** What a real server reports after three hours of work, in which a back-end was gone for a while and another got slower. */
export async function busyReport(): Promise<Report> {
  const clock = createVirtualClock({ startMs: Date.parse("2026-11-27T09:00:00Z") });
  const storage = createMemoryStorage({ clock });
  let minute = 0;
  const random = createSeededRandom(7);
  const chance = (): number => {
    const bytes = new Uint8Array(2);
    random.fill(bytes);
    return ((bytes[0] ?? 0) * 256 + (bytes[1] ?? 0)) / 65_536;
  };
  const work = (seconds: number): Promise<void> =>
    new Promise((resolve) => {
      clock.setTimeout(resolve, 1_000 * seconds * (0.6 + 0.8 * chance()));
    });
  const server = createServer(
    {
      ...{ grpc: { disabled: true }, web: { disabled: true } },
      workflows: {
        [plain]: { circuitBreaker: { volumeThreshold: 5, resetTimeout: { seconds: 60n } }, retry: { maxAttempts: 2 } },
      },
      monitoring: {
        slos: [
          { workflow: plain, availability: 0.9 },
          { workflow: flaky, availability: 0.99, latency: { threshold: { seconds: 60n }, objective: 0.95 } },
        ],
        rules: [
          {
            name: "Crowded",
            queries: { open: { metric: "retake_runs_open", grouping: { labels: ["retake_workflow"] } } },
            warning: { at: 1 },
            annotations: { summary: "<script>document.title = 'broken'</script> {{ $value }} & more" },
          },
        ],
      },
    },
    { clock, random: createSeededRandom(3), log: silentLogger, openStorage: () => storage },
  ).implement(
    WorkflowsService,
    handlers({
      plain: async ({ text }) => {
        await work(12);
        if (minute >= 100 && minute < 116) throw new ConnectError("the GPU pool is gone", Code.Unavailable);
        if (text === "critical") throw new ConnectError("<script>document.title = 'broken'</script>", Code.DataLoss);
        return { text };
      },
      flaky: async (_, { run }) => {
        await work(8 + minute / 6);
        if (run.attempt === 1 && chance() < 0.3) throw new ConnectError("connect ECONNREFUSED", Code.Unavailable);
        return { attempts: run.attempt };
      },
      keyed: async ({ text }) => {
        await work(3);
        if (chance() < 0.05) throw new ConnectError("prompt is too long", Code.InvalidArgument);
        return { text };
      },
    }),
  );
  try {
    const listening = server.listen();
    await clock.advance(0);
    await listening;
    const workflows = createClient(WorkflowsService, server.transport);
    const ignored = (call: Promise<unknown>): void => void call.catch(() => undefined);
    for (; minute < minutes; minute++) {
      for (let second = 0; second < 60; second += 10) {
        if (chance() < 0.7) ignored(workflows.plain({ text: minute === 150 ? "critical" : "a" }));
        if (chance() < 0.5) ignored(workflows.flaky({}));
        if (chance() < 0.4) ignored(workflows.keyed({ text: `${minute}.${second}` }));
        await clock.advance(10_000);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    const asked = createClient(MonitoringService, server.transport).getReport({ window: { seconds: 10_800n } });
    for (;;) {
      const found = await Promise.race([asked, clock.advance(0).then(() => undefined)]);
      if (found?.report !== undefined) return found.report;
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    const closed = server.close({ drainTimeoutMs: 0 });
    await clock.advance(0);
    await closed;
  }
}
