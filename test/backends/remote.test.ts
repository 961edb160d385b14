import { once } from "node:events";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { inspect } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { AccessLevel, FailureCategory } from "../../gen/retake/v1/options_pb.js";
import { FailureSchema, RunState } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import {
  type StreamingResponse,
  StreamingResponseSchema,
  WorkflowsService,
} from "../gen/retake/test/v1/workflows_pb.js";
import { rejection } from "../server/harness.ts";
import { startBackend, startGateway } from "./gateway.ts";

describe("a remote back-end", () => {
  it("carries out a unary workflow, and is told of the run in its metadata", async () => {
    const seen: Headers[] = [];
    const backend = await startBackend({
      plain: ({ text }, context) => {
        seen.push(new Headers(context.requestHeader));
        return { text: `remote ${text}` };
      },
    });
    const { workflows, runs } = await startGateway([{ port: backend.port, slots: 4 }]);
    let runId = "";
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const answer = await workflows.plain(
      { text: "hi" },
      {
        headers: {
          traceparent,
          tracestate: "studio=7, rojo=1",
          "proxy-authorization": "Basic secret",
          "x-other": "no",
        },
        onHeader: (header) => (runId = header.get("retake-run-id") ?? ""),
      },
    );
    expect(answer.text).toBe("remote hi");
    expect(Object.fromEntries(seen[0] ?? [])).toMatchObject({
      "retake-run-id": runId,
      "retake-attempt": "1",
      "retake-attempt-token": `${runId}.1`,
      "retake-quality": "FULL",
      "retake-owner": "default/anonymous",
      "idempotency-key": expect.stringMatching(/^[0-9a-f]{64}$/),
      traceparent,
      tracestate: "studio=7,rojo=1",
    });
    expect(seen[0]?.has("proxy-authorization")).toBe(false);
    expect(seen[0]?.has("x-other")).toBe(false);
    const { run } = await runs.getRun({ runId });
    expect(run?.state).toBe(RunState.SUCCEEDED);

    // What belongs to a trace goes with it alone.
    await runs.rerunRun({ runId }, { headers: { traceparent } });
    await expect.poll(() => seen.length).toBe(2);
    await workflows.plain({ text: "hi" }, { headers: { tracestate: "studio=7" } });
    expect(seen.map((header) => header.get("tracestate"))).toEqual(["studio=7,rojo=1", null, null]);
  });

  it("streams updates, then the result", async () => {
    const backend = await startBackend({
      async *streaming() {
        yield { update: { case: "line", value: "one" } };
        yield { update: { case: "progress", value: { fraction: 0.5 } } };
        yield { update: { case: "result", value: "film" } };
      },
    });
    const { workflows } = await startGateway([{ port: backend.port, slots: 4 }]);
    const seen: StreamingResponse["update"][] = [];
    for await (const { update } of workflows.streaming({})) seen.push(update);
    expect(seen.filter(({ case: name }) => name !== "progress")).toEqual([
      { case: "line", value: "one" },
      { case: "result", value: "film" },
    ]);
  });

  it("is retaken when it dies, with the same idempotency key and another token", async () => {
    const seen: Headers[] = [];
    const flaky = (_: unknown, context: { requestHeader: Headers }) => {
      seen.push(new Headers(context.requestHeader));
      if (seen.length < 3) throw new ConnectError("gone", Code.Unavailable);
      return { attempts: seen.length };
    };
    const backend = await startBackend({ flaky });
    const { workflows } = await startGateway([{ port: backend.port, slots: 4 }]);
    expect((await workflows.flaky({})).attempts).toBe(3);
    expect(seen.map((header) => header.get("retake-attempt"))).toEqual(["1", "2", "3"]);
    expect(new Set(seen.map((header) => header.get("idempotency-key"))).size).toBe(1);
    expect(new Set(seen.map((header) => header.get("retake-attempt-token"))).size).toBe(3);
  });

  it("is told the quality of each attempt, and another idempotency key where that asks for less", async () => {
    const seen: Headers[] = [];
    const memory = create(FailureSchema, {
      code: Code.ResourceExhausted,
      category: FailureCategory.MEMORY,
      reason: "OUT_OF_MEMORY",
      retryable: true,
    });
    const flaky = (_: unknown, context: { requestHeader: Headers }) => {
      seen.push(new Headers(context.requestHeader));
      if (seen.length === 3) return { attempts: 3 };
      throw new ConnectError("full", Code.ResourceExhausted, undefined, [{ desc: FailureSchema, value: memory }]);
    };
    const backend = await startBackend({ flaky });
    const { workflows } = await startGateway([{ port: backend.port, slots: 4 }]);
    let told: string | null = null;
    await workflows.flaky({}, { onTrailer: (trailer) => (told = trailer.get("retake-quality")) });
    expect(seen.map((header) => header.get("retake-quality"))).toEqual(["FULL", "HIGH", "MEDIUM"]);
    expect(new Set(seen.map((header) => header.get("idempotency-key"))).size).toBe(3);
    expect(told).toBe("MEDIUM");
  });

  it("that nobody can reach is UNAVAILABLE where it is not probed", async () => {
    const backend = await startBackend({});
    await backend.stop();
    const { workflows } = await startGateway([{ port: backend.port, healthCheck: { disabled: true } }]);
    await rejection(workflows.plain({}), Code.Unavailable);
  });

  it("gets what the attempt's time-out leaves as its deadline", async () => {
    const seen: (number | undefined)[] = [];
    const backend = await startBackend({
      hurried: (_, context) => {
        seen.push(context.timeoutMs());
        return {};
      },
      plain: (_, context) => {
        seen.push(context.timeoutMs());
        return {};
      },
    });
    const { workflows } = await startGateway([{ port: backend.port }]);
    await workflows.hurried({});
    await workflows.plain({}, { timeoutMs: 5000 });
    expect(seen[0]).toBeGreaterThan(9000);
    expect(seen[0]).toBeLessThanOrEqual(10_000);
    expect(seen[1]).toBeGreaterThan(4000);
    expect(seen[1]).toBeLessThanOrEqual(5000);
  });

  it("that refuses our credentials is INTERNAL, and one that runs out of time UNAVAILABLE: neither is the caller's doing", async () => {
    let code = Code.Unauthenticated;
    const backend = await startBackend({
      plain: () => {
        throw new ConnectError("no", code);
      },
    });
    const { workflows } = await startGateway([{ port: backend.port, slots: 4 }]);
    const refused = await rejection(workflows.plain({}), Code.Internal);
    expect(refused.findDetails(FailureSchema)[0]?.reason).toBe("BACKEND_CREDENTIALS");
    code = Code.DeadlineExceeded;
    const late = await rejection(workflows.plain({}), Code.Unavailable);
    expect(late.findDetails(FailureSchema)[0]?.reason).toBe("BACKEND_TIMEOUT");
  });

  it("is taken at its word where it says what a channel might", async () => {
    const message = "database: connect ECONNREFUSED 10.0.0.1:5432";
    const details = [{ desc: RetryInfoSchema, value: { retryDelay: { seconds: 3n } } }];
    for (const said of [details, []]) {
      const backend = await startBackend({
        plain: () => {
          throw new ConnectError(message, Code.Unavailable, undefined, said);
        },
      });
      const { workflows } = await startGateway([{ port: backend.port }]);
      const told = await rejection(workflows.plain({}), Code.Unavailable);
      expect(told.rawMessage).toBe(message);
      expect(told.findDetails(FailureSchema)).toMatchObject([
        { reason: "UNAVAILABLE", ...(said.length > 0 && { retryDelay: { seconds: 3n } }) },
      ]);
    }
  });

  it("is taken at its word in the middle of a stream", async () => {
    const message = "database: connect ECONNREFUSED 10.0.0.1:5432";
    const backend = await startBackend({
      async *streaming() {
        yield { update: { case: "line", value: "one" } };
        throw new ConnectError(message, Code.Unavailable);
      },
    });
    const { workflows } = await startGateway([{ port: backend.port }]);
    const lines: unknown[] = [];
    const calling = async () => {
      for await (const { update } of workflows.streaming({})) lines.push(update.value);
    };
    const told = await rejection(calling(), Code.Unavailable);
    expect(lines).toContain("one");
    expect(told.rawMessage).toBe(message);
  });

  it("that is lost in the middle of a stream cannot be reached, and is nowhere", async () => {
    const line = toBinary(
      StreamingResponseSchema,
      create(StreamingResponseSchema, { update: { case: "line", value: "one" } }),
    );
    const sockets = new Set<Socket>();
    const backend = createHttp2Server((request, response) => {
      request.stream.on("error", () => undefined);
      response.writeHead(200, { "content-type": "application/grpc" });
      response.write(Buffer.from([0, 0, 0, 0, line.length, ...line]));
    });
    backend.on("connection", (socket: Socket) => sockets.add(socket));
    await once(backend.listen(0, "127.0.0.1"), "listening");
    onTestFinished(() => void backend.close());
    const { port } = backend.address() as AddressInfo;
    const { workflows } = await startGateway([{ port, healthCheck: { disabled: true } }]);
    const lines: unknown[] = [];
    const calling = async () => {
      for await (const { update } of workflows.streaming({})) {
        if (update.case === "line") {
          lines.push(update.value);
          for (const socket of sockets) socket.resetAndDestroy();
        }
      }
    };
    const told = await rejection(calling(), Code.Unavailable);
    expect(lines.length).toBeGreaterThan(0);
    expect(told.rawMessage).toMatch(/^the back-end cannot be reached( \(ECONNRESET\))?$/);
    expect(told.findDetails(FailureSchema)).toMatchObject([{ reason: "CONNECTION_LOST", causes: [] }]);
  });

  it("is nowhere, for callers below PRIVILEGED", async () => {
    const backend = await startBackend({});
    await backend.stop();
    const anonymousLevel = AccessLevel.PUBLIC;
    const gateway = await startGateway([{ port: backend.port, healthCheck: { disabled: true } }], {
      security: { anonymousLevel },
      plain: { access: { min: anonymousLevel } },
    });
    const told = await rejection(gateway.workflows.plain({}), Code.Unavailable);
    expect(told.rawMessage).toBe("the back-end cannot be reached (ECONNREFUSED)");
    expect(told.findDetails(FailureSchema)).toMatchObject([{ reason: "CONNECTION_REFUSED", causes: [] }]);
    expect(inspect(told.findDetails(FailureSchema), { depth: 9 })).not.toContain("127.0.0.1");
    const { run } = await gateway.runs.startRun({ workflow: `${WorkflowsService.typeName}/Plain` });
    const operator = createClient(RunService, gateway.server.transport);
    const endpointsFor = async ({ watchRun }: Pick<typeof operator, "watchRun">) => {
      const seen: string[] = [];
      for await (const { update } of watchRun({ runId: run?.runId ?? "" })) {
        if (update.case === "event" && update.value.event.case === "attemptStarted") {
          seen.push(update.value.event.value.endpoint);
        }
      }
      return seen;
    };
    expect(await endpointsFor(gateway.runs)).toEqual([""]);
    expect(await endpointsFor(operator)).toEqual([`dns:///127.0.0.1:${backend.port}`]);
  });

  it("is told to stop when the run is cancelled", async () => {
    const stopped = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const backend = await startBackend({
      plain: (_, context) =>
        new Promise((_, reject) => {
          context.signal.addEventListener("abort", () => {
            stopped.resolve();
            reject(new ConnectError("stopped", Code.Canceled));
          });
          started.resolve();
        }),
    });
    const { runs } = await startGateway([{ port: backend.port, slots: 4 }]);
    const { run } = await runs.startRun({ workflow: `${WorkflowsService.typeName}/Plain` });
    await started.promise;
    await runs.cancelRun({ runId: run?.runId ?? "" });
    await stopped.promise;
    for await (const { update } of runs.watchRun({ runId: run?.runId ?? "" })) {
      if (update.case === "event" && update.value.event.case === "cancelled") {
        expect(update.value.event.value.acknowledged).toBe(true);
      }
    }
    expect((await runs.getRun({ runId: run?.runId ?? "" })).run?.state).toBe(RunState.CANCELLED);
  });
});
