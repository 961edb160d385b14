import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import type { BackendJob } from "../../gen/retake/v1/backend_service_pb.js";
import { BreakerMode, BreakerState } from "../../gen/retake/v1/breaker_pb.js";
import { RecoveryAction } from "../../gen/retake/v1/options_pb.js";
import { type RunEvent, RunState } from "../../gen/retake/v1/run_pb.js";
import { fail } from "../../src/runs/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { ServingStatus, startBackend, startGateway } from "./gateway.ts";

const flaky = `${WorkflowsService.typeName}/Flaky`;
const backoff = { retry: { initialBackoff: { nanos: 20_000_000 } } };
const { FREE_MEMORY, RECONNECT, RELOAD_MODEL, SWITCH_ENDPOINT } = RecoveryAction;

type Gateway = Awaited<ReturnType<typeof startGateway>>;

/** Starts a run and waits for its end. */
async function runToItsEnd({ runs }: Gateway, workflow = flaky): Promise<{ events: RunEvent[]; runId: string }> {
  const { run } = await runs.startRun({ workflow });
  const runId = run?.runId ?? "";
  const events: RunEvent[] = [];
  for await (const { update } of runs.watchRun({ runId })) {
    if (update.case === "event") events.push(update.value);
  }
  return { events, runId };
}

/** What a run tells that has not ended. */
async function recoveriesOf({ runs }: Gateway, runId: string) {
  const { run } = await runs.getRun({ runId });
  const events: RunEvent[] = [];
  for await (const { update } of runs.watchRun({ runId })) {
    if (update.case !== "event") continue;
    events.push(update.value);
    if (update.value.sequence === run?.lastSequence) break;
  }
  return { recoveries: actedIn(events) };
}

function actedIn(events: readonly RunEvent[]) {
  return events.flatMap(({ event }) =>
    event.case === "recoveryActed" ? [[RecoveryAction[event.value.action], event.value.error]] : [],
  );
}

function endpointsIn(events: readonly RunEvent[]): string[] {
  return events.flatMap(({ event }) => (event.case === "attemptStarted" ? [event.value.endpoint] : []));
}

/** Healthy from the start, so that the first of two is taken first. */
function unprobed({ port }: { readonly port: number }) {
  return { port, healthCheck: { disabled: true } };
}

const away = () => new ConnectError("away", Code.Unavailable);

describe("a back-end that implements BackendService", () => {
  it("is asked whether a silent job lives, and has the attempt go on", async () => {
    const asked: BackendJob[] = [];
    const answer = Promise.withResolvers<void>();
    const backend = await startBackend(
      { flaky: () => answer.promise.then(() => ({ attempts: 1 })) },
      {
        jobs: {
          probe: ({ job }) => {
            if (job !== undefined && asked.push(job) === 2) answer.resolve();
            return { alive: true };
          },
        },
      },
    );
    const gateway = await startGateway([{ port: backend.port }], {
      flaky: { ...backoff, progressTimeout: { nanos: 50_000_000 } },
    });
    const { events, runId } = await runToItsEnd(gateway);
    expect(endpointsIn(events)).toHaveLength(1);
    expect(asked[1]).toMatchObject({ workflow: flaky, runId, attempt: 1, attemptToken: `${runId}.1` });
    expect((await gateway.runs.getRun({ runId })).run?.state).toBe(RunState.SUCCEEDED);
  });

  it("does what the policy names, and is not told of what it does not offer", async () => {
    const done: string[] = [];
    const backend = await startBackend(
      {
        flaky: () => {
          if (done.length === 0) throw away();
          return { attempts: 2 };
        },
      },
      {
        jobs: {
          recover: ({ action, job, failure }) => {
            if (action === RELOAD_MODEL) throw new ConnectError("not here", Code.Unimplemented);
            done.push(`${RecoveryAction[action]} for attempt ${job?.attempt}: ${failure?.message}`);
            return {};
          },
        },
      },
    );
    const gateway = await startGateway([{ port: backend.port }], {
      flaky: { ...backoff, recovery: { rules: [{ action: RELOAD_MODEL }, { action: FREE_MEMORY }] } },
    });
    const { events } = await runToItsEnd(gateway);
    expect(done).toEqual(["FREE_MEMORY for attempt 1: away"]);
    expect(actedIn(events)).toEqual([["FREE_MEMORY", ""]]);
  });
});

describe("a back-end whose breaker is half-open", () => {
  const flakyPolicy = {
    retry: { maxAttempts: 1 },
    circuitBreaker: { volumeThreshold: 1, resetTimeout: { nanos: 100_000_000 } },
  };
  const noCard = () => new ConnectError("no card", Code.Unavailable);

  async function breakerOf({ server }: Gateway) {
    const { breakers } = await createClient(AdminService, server.transport).listBreakers({ workflow: flaky });
    return breakers[0];
  }

  it("is asked whether it is fit, and gets no run before it says so", async () => {
    const asked: string[] = [];
    let fit = false;
    let calls = 0;
    const backend = await startBackend(
      {
        flaky: () => {
          calls += 1;
          if (!fit) throw noCard();
          return { attempts: 1 };
        },
      },
      {
        jobs: {
          probeWorkflow: ({ workflow }) => {
            asked.push(workflow);
            return { fit, reason: "the card is being changed" };
          },
        },
      },
    );
    const gateway = await startGateway([unprobed(backend)], { flaky: flakyPolicy });
    await gateway.workflows.flaky({}).catch(() => undefined);
    const { run } = await gateway.runs.startRun({ workflow: flaky });
    await expect.poll(() => asked.length).toBeGreaterThan(2);
    expect(calls).toBe(1);
    const reasons = (await breakerOf(gateway))?.transitions.map(({ reason }) => reason);
    expect(reasons).toContain("its back-end is not fit yet: the card is being changed");
    fit = true;
    await expect
      .poll(async () => (await gateway.runs.getRun({ runId: run?.runId ?? "" })).run?.state)
      .toBe(RunState.SUCCEEDED);
    expect([calls, new Set(asked)]).toEqual([2, new Set([flaky])]);
  });

  it("is fit when one of its endpoints is, and not while none can be reached", async () => {
    const jobs = (fit: boolean) => ({ jobs: { probeWorkflow: () => ({ fit }) } });
    const answers = { flaky: () => ({ attempts: 1 }) };
    const unfit = await startBackend(answers, jobs(false));
    const gone = await startBackend({});
    await gone.stop();
    const gateway = await startGateway([unprobed(unfit), unprobed(gone)], { flaky: flakyPolicy });
    const admin = createClient(AdminService, gateway.server.transport);
    await admin.forceBreaker({ workflow: flaky, mode: BreakerMode.FORCED_OPEN });
    await admin.forceBreaker({ workflow: flaky, mode: BreakerMode.AUTOMATIC });
    await expect
      .poll(async () => (await breakerOf(gateway))?.transitions[0]?.reason)
      .toMatch(/^its back-end is not fit yet: it could not be asked: connect ECONNREFUSED/);
    await startBackend(answers, { port: gone.port, ...jobs(true) });
    await expect.poll(async () => BreakerState[(await breakerOf(gateway))?.state ?? 0]).toBe("CLOSED");
  });

  it.each([
    ["has no such method", undefined],
    ["has no BackendService", "none" as const],
    ["does not know us", Code.Unauthenticated],
  ])("is tried by a run when it %s", async (_, code) => {
    let down = true;
    const backend = await startBackend(
      {
        flaky: () => {
          if (down) throw noCard();
          return { attempts: 1 };
        },
      },
      code === "none"
        ? {}
        : {
            jobs:
              code === undefined
                ? { cancel: () => ({}) }
                : {
                    probeWorkflow: () => {
                      throw new ConnectError("who are you?", code);
                    },
                  },
          },
    );
    const gateway = await startGateway([unprobed(backend)], { flaky: flakyPolicy });
    await gateway.workflows.flaky({}).catch(() => undefined);
    const { run } = await gateway.runs.startRun({ workflow: flaky });
    down = false;
    await expect
      .poll(async () => (await gateway.runs.getRun({ runId: run?.runId ?? "" })).run?.state)
      .toBe(RunState.SUCCEEDED);
    const reasons = (await breakerOf(gateway))?.transitions.map(({ reason }) => reason);
    expect(reasons?.[0]).toBe("a trial has succeeded");
  });
});

describe("a back-end without BackendService", () => {
  it("has silent attempts cut off, and no action but those of its connection", async () => {
    let calls = 0;
    const backend = await startBackend({
      flaky: () => (++calls === 1 ? new Promise<never>(() => {}) : { attempts: calls }),
    });
    const gateway = await startGateway([{ port: backend.port }], {
      flaky: {
        ...backoff,
        progressTimeout: { nanos: 50_000_000 },
        recovery: { rules: [{ action: FREE_MEMORY }, { action: SWITCH_ENDPOINT }, { action: RECONNECT }] },
      },
    });
    const { events } = await runToItsEnd(gateway);
    const failures = events.flatMap(({ event }) =>
      event.case === "attemptFailed" ? [event.value.failure?.message] : [],
    );
    expect(failures).toEqual(["the attempt was silent for 50 ms (progress_timeout)"]);
    expect(actedIn(events)).toEqual([["RECONNECT", ""]]);
  });
});

describe("RECONNECT", () => {
  it("makes a new connection, and lets the calls of the old one end", async () => {
    const [working, slow] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const connections: number[] = [];
    const backend = await startBackend({
      plain: async () => {
        working.resolve();
        await slow.promise;
        return { text: "at last" };
      },
      flaky: () => {
        if (connections.push(backend.connections()) === 1) throw away();
        return { attempts: 2 };
      },
    });
    const gateway = await startGateway([{ port: backend.port }], {
      flaky: { ...backoff, recovery: { rules: [{ action: RECONNECT }] } },
    });
    const plain = gateway.workflows.plain({});
    await working.promise;
    const { events } = await runToItsEnd(gateway);
    expect(actedIn(events)).toEqual([["RECONNECT", ""]]);
    expect(connections).toEqual([1, 2]);
    slow.resolve();
    expect((await plain).text).toBe("at last");
    await expect.poll(() => backend.connections()).toBe(1);
  });

  it("tells when there is nothing to connect to", async () => {
    const backend = await startBackend({
      flaky: () => {
        void backend.stop();
        return new Promise<never>(() => {});
      },
    });
    const gateway = await startGateway([{ port: backend.port }], {
      flaky: { ...backoff, recovery: { rules: [{ action: RECONNECT }] } },
    });
    const { run } = await gateway.runs.startRun({ workflow: flaky });
    await expect
      .poll(async () => {
        const { recoveries } = await recoveriesOf(gateway, run?.runId ?? "");
        return recoveries;
      })
      .toEqual([
        ["RECONNECT", `it is connected anew, and not healthy: connect ECONNREFUSED 127.0.0.1:${backend.port}`],
      ]);
  });
});

describe("SWITCH_ENDPOINT", () => {
  const policy = { flaky: { ...backoff, recovery: { rules: [{ action: SWITCH_ENDPOINT }] } } };

  it("makes the next attempt at another endpoint, and no other runs", async () => {
    const broken = await startBackend({
      flaky: () => {
        throw away();
      },
    });
    const well = await startBackend({ flaky: () => ({ attempts: 2 }) });
    // Idle, the first one is taken.
    const gateway = await startGateway([unprobed(broken), unprobed(well)], policy);
    for (let i = 0; i < 3; i++) {
      const { events } = await runToItsEnd(gateway);
      expect(endpointsIn(events).map((target) => target.endsWith(`:${broken.port}`))).toEqual([true, false]);
      expect(actedIn(events)).toEqual([["SWITCH_ENDPOINT", ""]]);
    }
  });

  it("tells when no other one is healthy, and the run goes on where it was", async () => {
    let calls = 0;
    const only = await startBackend({
      flaky: () => {
        if (++calls === 1) throw away();
        return { attempts: calls };
      },
    });
    const gone = await startBackend({});
    await gone.stop();
    const gateway = await startGateway([{ port: only.port }, { port: gone.port }], policy);
    const { events } = await runToItsEnd(gateway);
    expect(actedIn(events)).toEqual([
      ["SWITCH_ENDPOINT", `no other endpoint is healthy: dns:///127.0.0.1:${gone.port}`],
    ]);
    expect(new Set(endpointsIn(events)).size).toBe(1);
  });
});

describe("an endpoint that fails in a row", () => {
  it("is taken out while the other one does well, and back after its time", async () => {
    const calls = { broken: 0, well: 0 };
    let mended = false;
    const broken = await startBackend({
      plain: () => {
        calls.broken += 1;
        if (!mended) throw new ConnectError("no card", Code.Internal);
        return {};
      },
    });
    const well = await startBackend({
      plain: () => {
        calls.well += 1;
        return {};
      },
    });
    const gateway = await startGateway([unprobed(broken), unprobed(well)], {
      outlierDetection: { consecutiveFailures: 3, baseEjectionTime: { nanos: 300_000_000 } },
    });
    const outcomes: boolean[] = [];
    for (let i = 0; i < 10; i++) {
      outcomes.push(
        await gateway.workflows.plain({}).then(
          () => true,
          () => false,
        ),
      );
    }
    // It fails at once, so it is idle and gets everything until it is out.
    expect(outcomes).toEqual([...Array(3).fill(false), ...Array(7).fill(true)]);
    expect(calls).toEqual({ broken: 3, well: 7 });
    mended = true;
    await expect
      .poll(() => gateway.log.at(-1))
      .toMatchObject({
        message: "an endpoint that failed gets attempts again",
        fields: { endpoint: expect.anything() },
      });
    await gateway.workflows.plain({});
    expect(calls).toEqual({ broken: 4, well: 7 });
  });

  it("is taken out when it has not the model that the other one has", async () => {
    let asked = 0;
    const broken = await startBackend({
      plain: () => {
        asked += 1;
        throw fail({ message: "no such model", category: "MODEL", code: Code.NotFound });
      },
    });
    const well = await startBackend({});
    const gateway = await startGateway([unprobed(broken), unprobed(well)], {
      outlierDetection: { consecutiveFailures: 2 },
    });
    for (let i = 0; i < 4; i++) await gateway.workflows.plain({}).catch(() => undefined);
    expect(asked).toBe(2);
  });

  it("comes back before its time when the other one is not healthy any more, or no endpoint", async () => {
    let serving = true;
    let mended = false;
    const target = (port: number) => `dns:///127.0.0.1:${port}`;
    const broken = await startBackend({
      plain: () => {
        if (!mended) throw new ConnectError("no card", Code.Internal);
        return { text: "mended" };
      },
    });
    const well = await startBackend(
      { plain: () => ({ text: "well" }) },
      { health: () => (serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING) },
    );
    const outlierDetection = { consecutiveFailures: 1, baseEjectionTime: { seconds: 3600n } };
    const gateway = await startGateway([unprobed(broken), { port: well.port }], { outlierDetection });
    const told = () => gateway.log.filter(({ message }) => /no other is left/.test(message)).length;
    const eject = async () => {
      mended = false;
      await gateway.workflows.plain({}).catch(() => undefined);
      mended = true;
    };
    await gateway.workflows.plain({}).catch(() => undefined);
    await expect
      .poll(async () => {
        await eject();
        return (await gateway.workflows.plain({})).text;
      })
      .toBe("well");
    serving = false;
    await expect.poll(told).toBe(1);
    expect((await gateway.workflows.plain({})).text).toBe("mended");
    serving = true;
    await expect
      .poll(async () => {
        await eject();
        return (await gateway.workflows.plain({})).text;
      })
      .toBe("well");
    await gateway.server.reload({
      grpc: { port: 0 },
      web: { disabled: true },
      backends: [
        {
          service: WorkflowsService.typeName,
          endpoints: [{ target: target(broken.port), healthCheck: { disabled: true } }],
          outlierDetection,
        },
      ],
    });
    expect(told()).toBe(2);
    expect((await gateway.workflows.plain({})).text).toBe("mended");
  });

  it("stays when what it is asked for is wrong", async () => {
    const endpoint = () =>
      startBackend({
        plain: () => {
          throw new ConnectError("no such film", Code.NotFound);
        },
      });
    const [a, b] = [await endpoint(), await endpoint()];
    const gateway = await startGateway([unprobed(a), unprobed(b)], {
      outlierDetection: { consecutiveFailures: 1 },
    });
    for (let i = 0; i < 5; i++) await gateway.workflows.plain({}).catch(() => undefined);
    expect(gateway.log.filter(({ message }) => /fails where/.test(message))).toEqual([]);
  });
});
