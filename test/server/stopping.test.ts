import { once } from "node:events";
import { connect } from "node:http2";
import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import { MonitoringService } from "../../gen/retake/v1/monitoring_service_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { type Clock, systemClock } from "../../src/clock.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { deferred, rejection } from "./harness.ts";
import { everyTransport, fetchWeb, jsonCall, openSocket, readToEnd, startListening } from "./listening-server.ts";

/** Ports are cut after a second, which may be over before a test has come to its point. */
const withoutCut: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic(),
  setTimeout: (callback, delayMs) =>
    systemClock.setTimeout(callback, delayMs === 1000 ? Number.POSITIVE_INFINITY : delayMs),
  setImmediate: (callback) => systemClock.setImmediate(callback),
};

const plain = `/${WorkflowsService.typeName}/Plain`;
const reasonOf = (error: ConnectError) => error.findDetails(ErrorInfoSchema)[0]?.reason;

describe("a server that is told to stop", () => {
  it("says so at once, refuses what is new, lets what runs end, and closes its ports last", async () => {
    const gate = deferred();
    let started = 0;
    const allStarted = deferred();
    const server = await startListening({
      plain: async ({ text }) => {
        started += 1;
        if (started === 4) allStarted.resolve();
        await gate.promise;
        return { text };
      },
    });
    const order: string[] = [];
    const health = createClient(Health, server.grpc);
    const notServing = (async () => {
      for await (const { status } of health.watch({})) {
        if (status === ServingStatus.NOT_SERVING) {
          order.push("not serving");
          return;
        }
      }
    })();
    await health.check({});
    const calls = everyTransport(server).map(async ([name, transport]) => {
      const { text } = await createClient(WorkflowsService, transport).plain({ text: name });
      order.push("answered");
      return text === name;
    });
    await allStarted.promise;
    const closed = server.server.close().then(() => order.push("closed"));
    await notServing;
    const ready = await fetchWeb(server.webPort, "/readyz", { method: "GET", headers: {} });
    expect(ready.status).toBe(503);
    expect(ready.json).toEqual({ status: "unready", reason: "the server is about to stop" });
    expect((await fetchWeb(server.webPort, "/healthz", { method: "GET", headers: {} })).status).toBe(200);
    for (const [name, transport] of everyTransport(server)) {
      for (const call of [
        createClient(WorkflowsService, transport).plain({}),
        createClient(RunService, transport).startRun({ workflow: plain.slice(1) }),
      ]) {
        const refused = await rejection(call, Code.Unavailable);
        expect(reasonOf(refused), name).toBe("DRAINING");
        expect(refused.findDetails(RetryInfoSchema)[0]?.retryDelay?.seconds, name).toBe(1n);
        expect(refused.metadata.get("grpc-retry-pushback-ms"), name).toBe("1000");
      }
      // What there is can still be seen.
      expect((await createClient(RunService, transport).listRuns({})).runs, name).toHaveLength(4);
    }
    gate.resolve();
    expect(await Promise.all(calls)).toEqual([true, true, true, true]);
    await closed;
    expect(order).toEqual(["not serving", "answered", "answered", "answered", "answered", "closed"]);
    for (const port of [server.grpcPort, server.webPort]) {
      await expect(openSocket(port)).rejects.toThrow("ECONNREFUSED");
    }
  });

  it("answers every call that is still open UNAVAILABLE, on every way in, before it closes anything", async () => {
    const started = deferred();
    let count = 0;
    const server = await startListening({
      async *streaming(_, context) {
        count += 1;
        if (count === 4) started.resolve();
        yield { update: { case: "progress", value: { stage: "working" } } };
        await once(context.signal, "abort");
        context.signal.throwIfAborted();
      },
      plain: async (_, context) => {
        await once(context.signal, "abort");
        throw context.signal.reason;
      },
    });
    const { run } = await server.runs.startRun({ workflow: plain.slice(1) });
    const open = everyTransport(server).flatMap(([name, transport]) => {
      const workflows = createClient(WorkflowsService, transport);
      const read = async (messages: AsyncIterable<unknown>) => {
        for await (const _ of messages) {
          // Until it is told to stop.
        }
      };
      return [
        [`${name}: a stream`, read(workflows.streaming({}))],
        [`${name}: a keyed call`, workflows.keyed({ requestId: name }).then(() => undefined)],
        [`${name}: a watcher`, read(createClient(RunService, transport).watchRun({ runId: run?.runId ?? "" }))],
        [`${name}: one of the status`, read(createClient(MonitoringService, transport).watchStatus({}))],
        [`${name}: one of alerts`, read(createClient(MonitoringService, transport).watchAlerts({}))],
      ] as const;
    });
    const rejections = open
      .filter(([name]) => !name.endsWith("keyed call"))
      .map(async ([name, call]) => [name, reasonOf(await rejection(call, Code.Unavailable))]);
    await Promise.all(open.filter(([name]) => name.endsWith("keyed call")).map(([, call]) => call));
    await started.promise;
    await server.server.close({ drainTimeoutMs: 0 });
    const reasons = Object.fromEntries(await Promise.all(rejections));
    expect(new Set(Object.values(reasons))).toEqual(new Set(["DRAINING"]));
    expect(Object.keys(reasons)).toHaveLength(16);
  });

  it("does not wait for connections that nobody uses, and cuts those that never end", async () => {
    const server = await startListening();
    const idle = await openSocket(server.webPort);
    idle.write(jsonCall(plain, "{}"));
    await once(idle, "data");
    const half = await openSocket(server.webPort);
    half.write(jsonCall(plain, '{"text":"never sent to its end"}').slice(0, -5));
    const silent = await openSocket(server.grpcPort);
    const session = connect(`http://127.0.0.1:${server.grpcPort}`);
    session.on("error", () => undefined);
    onTestFinished(() => session.destroy());
    await once(session, "remoteSettings");
    const gone = Promise.all([readToEnd(idle), readToEnd(half), readToEnd(silent), once(session, "close")]);
    await server.server.close({ drainTimeoutMs: 0 });
    await gone;
  });

  it("sends what it has begun to answer to its end", async () => {
    const text = "x".repeat(3_000_000);
    const started = deferred();
    const gate = deferred();
    const server = await startListening({
      plain: async () => {
        started.resolve();
        await gate.promise;
        return { text };
      },
    });
    const slow = await openSocket(server.webPort);
    slow.pause();
    slow.write(jsonCall(plain, "{}"));
    await started.promise;
    const closed = server.server.close();
    gate.resolve();
    const answer = readToEnd(slow.resume());
    await closed;
    expect((await answer).length).toBeGreaterThan(text.length);
  });

  it("refuses a call that has been coming in meanwhile, in the words of its protocol", async () => {
    const server = await startListening({}, { clock: withoutCut });
    const half = await openSocket(server.webPort);
    const call = jsonCall(plain, "{}");
    half.write(call.slice(0, 30));
    // When this one is answered, the other has arrived, too.
    await fetchWeb(server.webPort, plain, { body: "{}" });
    const closed = server.server.close();
    await expect
      .poll(() =>
        openSocket(server.webPort).then(
          () => "open",
          () => "closed",
        ),
      )
      .toBe("closed");
    half.write(call.slice(30));
    const answer = await readToEnd(half);
    await closed;
    expect(answer).toMatch(/^HTTP\/1\.1 503 /);
    expect(answer).toContain('"code":"unavailable"');
    expect(answer).toContain("DRAINING");
  });
});
