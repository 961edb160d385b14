import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { expect, onTestFinished } from "vitest";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { type Breaker, BreakerMode, BreakerState } from "../../gen/retake/v1/breaker_pb.js";
import type { ServiceJobs } from "../../src/index.ts";
import { createVirtualClock } from "../../src/testing/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { type Harness, startServer, stopServer } from "./harness.ts";

export const name = (method: string) => `${WorkflowsService.typeName}/${method}`;
export const plain = name("Plain");

export const circuitBreaker = { volumeThreshold: 3, resetTimeout: { seconds: 30n } };

export interface Studio extends Harness {
  readonly admin: Client<typeof AdminService>;
  /** Whether the back-end is down, and what it was asked. */
  readonly backend: {
    down: boolean;
    readonly calls: string[];
    hold: PromiseWithResolvers<void> | undefined;
    /** Attempts at once. */
    running: number;
    most: number;
  };
}

export type Options = NonNullable<Parameters<typeof startServer>[1]>;

/** A server whose back-end does as the test says, with a breaker for one workflow. */
export async function start(options: Options = {}, policy: object = {}, jobs?: ServiceJobs): Promise<Studio> {
  const backend: Studio["backend"] = { down: false, calls: [], hold: undefined, running: 0, most: 0 };
  const clock = options.clock ?? createVirtualClock();
  const harness = await startServer(
    {
      plain: async ({ text }) => {
        backend.calls.push(text);
        backend.most = Math.max(backend.most, ++backend.running);
        await (backend.hold?.promise ?? new Promise<void>((resolve) => clock.setImmediate(resolve)));
        backend.running--;
        if (backend.down) throw new ConnectError("no cards", Code.Unavailable);
        if (text === "wrong") throw new ConnectError("no such style", Code.InvalidArgument);
        return { text };
      },
    },
    { ...options, clock, config: { workflows: { [plain]: { circuitBreaker, ...policy } }, ...options.config } },
    jobs,
  );
  onTestFinished(() => stopServer(harness));
  return { ...harness, backend, admin: createClient(AdminService, harness.server.transport) };
}

export async function startRun({ runs, clock }: Harness, text = "", priority = 0): Promise<string> {
  const { run } = await runs.startRun({
    workflow: plain,
    input: { case: "json", value: JSON.stringify({ text }) },
    priority,
  });
  await clock.advance(0);
  return run?.runId ?? "";
}

export async function breakerOf({ admin }: Studio): Promise<Breaker> {
  const { breakers } = await admin.listBreakers({ workflow: plain });
  if (breakers[0] === undefined) throw new Error("it is not listed");
  return breakers[0];
}

export const stateName = async (studio: Studio) => BreakerState[(await breakerOf(studio)).state];

/** Has the back-end fail until the breaker has opened. */
export async function trip(studio: Studio): Promise<void> {
  studio.backend.down = true;
  for (let i = 0; i < 3; i++) await startRun(studio, `failure ${i}`);
  expect(await stateName(studio)).toBe("OPEN");
  studio.backend.calls.length = 0;
}

/** Parks many runs at a breaker that is held open, and lets them go. */
export async function drainMany(studio: Studio, count: number, limit: number): Promise<void> {
  const { admin, runs, clock, backend } = studio;
  await admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_OPEN });
  for (let i = 0; i < count; i += 500) {
    const started = Array.from({ length: Math.min(500, count - i) }, (_, index) =>
      runs.startRun({ workflow: plain, input: { case: "json", value: `{"text":"${i + index}"}` } }),
    );
    await clock.advance(1);
    await Promise.all(started);
  }
  expect(await breakerOf(studio)).toMatchObject({ waitingRuns: BigInt(count) });
  await admin.forceBreaker({ workflow: plain, mode: BreakerMode.FORCED_CLOSED });
  for (let seen = -1; seen < backend.calls.length; ) {
    seen = backend.calls.length;
    await clock.advance(0);
  }
  expect(backend.calls).toEqual(Array.from({ length: count }, (_, index) => String(index)));
  expect(backend.most).toBe(limit);
  expect(await breakerOf(studio)).toMatchObject({ waitingRuns: 0n, waveSize: 0 });
}
