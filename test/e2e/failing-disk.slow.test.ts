import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectError } from "@connectrpc/connect";
import { expect, it, type TestContext, vi } from "vitest";
import { type RunEvent, RunState } from "../../gen/retake/v1/run_pb.js";
import { RunView } from "../../gen/retake/v1/run_service_pb.js";
import { HeldRequestSchema, WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { describeWithTool, requireTool } from "../tools.ts";
import { type Connection, connect } from "./connection.ts";
import { probe, ServingStatus, untilHealth } from "./health.ts";
import { patience } from "./held-runs.ts";
import { readJournals } from "./kill/journals.ts";
import { verifyJournals, verifyMarks } from "./kill/verify.ts";
import { readMarks } from "./marks.ts";
import { expectUnavailable } from "./refusals.ts";
import { createServerSite, type ServerProcess, type ServerSite } from "./server-process.ts";
import { injectFault } from "./strace/tracer.ts";

const held = `${WorkloadService.typeName}/${WorkloadService.method.held.name}`;

describeWithTool("strace", "a server whose disk fails", () => {
  for (const [trouble, rule] of [
    ["a failing sync", "fdatasync,fsync:error=EIO"],
    ["a full disk", "pwrite64:error=ENOSPC"],
  ] as const) {
    it(`acknowledges nothing during ${trouble}, and delivers what has waited when it is over`, async (context) => {
      await using scene = await startScene(context);
      const { connection, server, site } = scene;
      await using fault = await scene.fail(rule);

      await refusesNewRuns(connection, "during");
      await expectUnready(scene);
      server.release("gate");
      await vi.waitFor(() => expect(readMarks(site.marksPath).map(({ step }) => step)).toContain("after"), patience);
      // The handler has returned. A dozen calls later nobody has been told of it, nor of anything else that is new.
      for (let call = 0; call < 12; call++) {
        await refusesNewRuns(connection, `later ${call}`);
      }
      expect(scene.seen()).toEqual({ answered: false, events: ["accepted", "attemptStarted", "stepCompleted"] });

      await fault.end();
      await scene.healthy();
      expect(await probe(site.webPort, "/readyz")).toBe(200);
      const response = await scene.answer;
      await scene.watched;
      expect(scene.seen().events).toEqual([
        "accepted",
        "attemptStarted",
        "stepCompleted",
        "stepCompleted",
        "succeeded",
      ]);

      const again = await connection.workloads.held({ key: "the call", gate: "gate" });
      expect(again).toEqual(response);
      await expectOneRunPerKey(scene.connection, server, site);
    }, 180_000);

    it(`keeps what it has acknowledged when it is killed during ${trouble}`, async (context) => {
      await using scene = await startScene(context);
      const { connection, server, site } = scene;
      await using _ = await scene.fail(rule);
      await refusesNewRuns(connection, "during");
      server.release("gate");
      await vi.waitFor(() => expect(readMarks(site.marksPath).map(({ step }) => step)).toContain("after"), patience);
      await server.kill();
      expect(await scene.answer.catch((error: unknown) => (error as ConnectError).code)).toBe(Code.Unavailable);
      expect(scene.seen().events).toEqual(["accepted", "attemptStarted", "stepCompleted"]);

      const next = site.launch();
      await next.ready;
      next.release("gate");
      using reconnected = connect(site.grpcPort);
      const response = await reconnected.workloads.held({ key: "the call", gate: "gate" });
      const [before, after] = response.stepTokens;
      // The first step's result was acknowledged. The second may have been stored, or not.
      expect(before).toBe(readMarks(site.marksPath)[0]?.token);
      expect(after).toBeTruthy();
      await expectOneRunPerKey(reconnected, next, site);
    }, 180_000);

    it(`stops when it is told to during ${trouble}, and goes on at the next start`, async (context) => {
      await using scene = await startScene(context);
      const { connection, server, site } = scene;
      const answer = expectUnavailable(scene.answer, "DRAINING");
      await using fault = await scene.fail(rule);
      await refusesNewRuns(connection, "during");
      // It cannot write down that it hands its run back, and does not wait until it can.
      const exit = server.terminate();
      await answer;
      expect(await exit).toMatchObject({ signal: null });
      await fault.end();

      const next = site.launch();
      await next.ready;
      next.release("gate");
      using reconnected = connect(site.grpcPort);
      expect(await reconnected.workloads.held({ key: "the call", gate: "gate" })).toMatchObject({ gate: "gate" });
      await expectOneRunPerKey(reconnected, next, site);
    }, 180_000);
  }
});

interface Scene extends AsyncDisposable {
  readonly site: ServerSite;
  readonly server: ServerProcess;
  readonly connection: Connection;
  /** The answer to a direct call that was made before the trouble, and is held until the gate opens. */
  readonly answer: Promise<unknown>;
  /** The end of a watch of the same run. */
  readonly watched: Promise<void>;
  /** What the two have been told up to now. */
  seen(): { answered: boolean; events: (string | undefined)[] };
  /** Lets system calls fail; resolves when the server has noticed. */
  fail(rule: string): ReturnType<typeof injectFault>;
  /** Resolves when the server says that it serves. */
  healthy(): Promise<void>;
}

/** A server with one run in the middle of its work, whose first step has been journaled. */
async function startScene(context: TestContext): Promise<Scene> {
  const strace = requireTool("strace", context);
  const site = await createServerSite({ drainTimeoutMs: 50 });
  const server = site.launch();
  await server.ready;
  const connection = connect(site.grpcPort);
  let answered = false;
  const answer = connection.workloads.held({ key: "the call", gate: "gate" }).then((response) => {
    answered = true;
    return response;
  });
  answer.catch(() => undefined);
  const runId = await vi.waitFor(async () => {
    const { runs } = await connection.runs.listRuns({});
    expect(runs).toHaveLength(1);
    return runs[0]?.runId ?? "";
  }, patience);
  const events: RunEvent[] = [];
  const begun = Promise.withResolvers<void>();
  const watched = (async () => {
    for await (const { update } of connection.runs.watchRun({ runId, view: RunView.FULL })) {
      if (update.case === "event") {
        events.push(update.value);
        if (update.value.event.case === "stepCompleted") {
          begun.resolve();
        }
      }
    }
  })();
  watched.catch(begun.reject);
  await begun.promise;
  return {
    site,
    server,
    connection,
    answer,
    watched,
    seen: () => ({ answered, events: events.map(({ event }) => event.case) }),
    fail: (rule) => injectFault(strace, server.pid, rule),
    healthy: () => untilHealth(connection, ServingStatus.SERVING),
    [Symbol.asyncDispose]: async () => {
      connection[Symbol.dispose]();
      await site[Symbol.asyncDispose]();
    },
  };
}

/** Neither way of starting a run is acknowledged. */
async function refusesNewRuns(connection: Connection, key: string): Promise<void> {
  const input = anyPack(HeldRequestSchema, create(HeldRequestSchema, { key: `${key}, started`, gate: "refused" }));
  for (const call of [
    () => connection.runs.startRun({ workflow: held, input: { case: "message", value: input } }),
    () => connection.workloads.held({ key: `${key}, called`, gate: "refused" }),
  ]) {
    await expectUnavailable(call(), "JOURNAL");
  }
}

async function expectUnready({ connection, site }: Scene): Promise<void> {
  await untilHealth(connection, ServingStatus.NOT_SERVING);
  for (const service of ["", WorkloadService.typeName, "retake.v1.RunService"]) {
    expect(await connection.health.check({ service }), service).toMatchObject({ status: ServingStatus.NOT_SERVING });
  }
  expect(await probe(site.webPort, "/readyz")).toBe(503);
}

/** Nothing is lost and nothing there twice: whoever was refused calls again by the same key, and gets one run. */
async function expectOneRunPerKey(connection: Connection, server: ServerProcess, site: ServerSite): Promise<void> {
  const refused = ["during, started", "during, called"];
  const again = Promise.all(refused.map((key) => connection.workloads.held({ key, gate: "refused" })));
  again.catch(() => undefined);
  // Their runs work by now, whether they had been stored in spite of the trouble or are new ones.
  await vi.waitFor(async () => {
    const { runs } = await connection.runs.listRuns({ states: [RunState.RUNNING] });
    expect(runs.map(({ idempotencyKey }) => idempotencyKey)).toEqual(expect.arrayContaining(refused));
  }, patience);
  server.release("refused");
  expect(await again).toMatchObject([{ gate: "refused" }, { gate: "refused" }]);
  const journals = await readJournals(connection);
  verifyJournals(journals);
  verifyMarks(journals, readMarks(site.marksPath));
  const succeeded = [...journals.values()].filter(({ run }) => run.state === RunState.SUCCEEDED);
  const keys = succeeded.map(({ run }) => run.idempotencyKey);
  expect(keys).toHaveLength(new Set(keys).size);
  expect(keys).toEqual(expect.arrayContaining(["the call", ...refused]));
}
