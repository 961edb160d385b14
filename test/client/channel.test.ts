import { Code, type ServiceImpl } from "@connectrpc/connect";
import { Server } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { VideoService } from "../../examples/video/gen/storycore/video/v1/video_service_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { connectRetake, type Reconnection } from "../../src/client/index.ts";
import { addConnectService, type GrpcListener, listenGrpc, type ServerTls } from "../../src/transport/index.ts";
import {
  caCertificate,
  clientCertificate,
  clientKey,
  serverCertificate,
  serverKey,
} from "../transport/certificates.ts";
import { event, eventMessage, journal, result, resultPayload, runId, runInState, untilGone } from "./fake-runs.ts";

type Runs = Partial<ServiceImpl<typeof RunService>>;

const listeners = new Set<GrpcListener>();

afterEach(async () => {
  await Promise.all([...listeners].map((listener) => listener.destroy()));
  listeners.clear();
});

async function listen(runs: Runs, options: { host?: string; port?: number; tls?: ServerTls } = {}) {
  const server = new Server();
  addConnectService(server, RunService, runs);
  const listener = await listenGrpc(server, { host: "127.0.0.1", port: 0, ...options });
  listeners.add(listener);
  return listener;
}

const pem = (text: string): Buffer => Buffer.from(text);

describe("a client over a real channel", () => {
  it("sees every event once, and the result, while its server is killed and started again", async () => {
    const events = journal(5);
    let known = 2;
    const runs: Runs = {
      startRun: () => runInState(RunState.RUNNING, { lastSequence: 1n }),
      getRun: () => runInState(RunState.SUCCEEDED, { result: resultPayload() }),
      watchRun: async function* ({ afterSequence }, { signal }) {
        yield* events.slice(Number(afterSequence), known).map(eventMessage);
        if (known < events.length) await untilGone(signal);
      },
    };
    const first = await listen(runs);
    const reconnections: Reconnection[] = [];
    using retake = connectRetake({ target: `127.0.0.1:${first.port}` });
    const run = await retake.start(VideoService.method.animatic, { prompt: "x" });
    const waiting = run.result();
    const seen: bigint[] = [];
    for await (const update of run.events({ onReconnect: (each) => reconnections.push(each) })) {
      if (update.kind !== "event") continue;
      seen.push(update.event.sequence);
      if (known === 2 && seen.length === 2) {
        await first.destroy();
        known = events.length;
        await listen(runs, { port: first.port });
      }
    }
    expect(seen).toEqual([1n, 2n, 3n, 4n, 5n]);
    expect(reconnections.length).toBeGreaterThan(0);
    expect(await waiting).toEqual(result);
    expect((await run.get()).state).toBe(RunState.SUCCEEDED);
  });

  it("rides through a restart with a call that can be repeated", async () => {
    const runs: Runs = { getRun: () => runInState(RunState.RUNNING) };
    const first = await listen(runs);
    using retake = connectRetake({ target: `127.0.0.1:${first.port}` });
    await retake.attach(runId).get();
    await first.destroy();
    const asking = retake.attach(runId).get();
    await listen(runs, { port: first.port });
    expect((await asking).state).toBe(RunState.RUNNING);
  });

  it("says what is wrong when nobody is there", async () => {
    const gone = await listen({});
    await gone.destroy();
    using retake = connectRetake({ target: `127.0.0.1:${gone.port}`, retryForMs: 0 });
    await expect(retake.attach(runId).get()).rejects.toMatchObject({
      code: Code.Unavailable,
      rawMessage: expect.stringContaining("ECONNREFUSED"),
    });
  });

  it("receives results above the 4 MiB that gRPC clients take by default", async () => {
    const value = { typeUrl: "type.googleapis.com/big", value: new Uint8Array(5 * 1024 * 1024) };
    const listener = await listen({
      watchRun: async function* () {
        yield eventMessage(event(1, { case: "succeeded", value: { result: { value } } }));
      },
      getRun: () => runInState(RunState.RUNNING),
    });
    using retake = connectRetake({ target: `127.0.0.1:${listener.port}` });
    expect((await retake.attach(runId).result()).value).toHaveLength(5 * 1024 * 1024);
  });

  it("speaks TLS, trusts whom it is told to, and shows its own certificate", async () => {
    const tls = { certificate: pem(serverCertificate), key: pem(serverKey), clientCa: pem(caCertificate) };
    const listener = await listen({ getRun: () => runInState(RunState.RUNNING) }, { tls });
    const target = `127.0.0.1:${listener.port}`;
    const own = { cert: clientCertificate, key: pem(clientKey) };
    const good = [
      // The certificate names both the host and the address.
      { ca: caCertificate, ...own },
      { ca: caCertificate, ...own, serverName: "localhost" },
    ];
    for (const each of good) {
      using retake = connectRetake({ target, tls: each, apiKey: "key", retryForMs: 0 });
      expect((await retake.attach(runId).get()).state).toBe(RunState.RUNNING);
    }
    const bad = [{ ...own }, { ca: caCertificate }, { ca: caCertificate, ...own, serverName: "elsewhere" }];
    for (const each of bad) {
      using retake = connectRetake({ target, tls: each, retryForMs: 0 });
      await expect(retake.attach(runId).get()).rejects.toMatchObject({ code: Code.Unavailable });
    }
  });

  it("checks a server's certificate for the address, where the target is one", async () => {
    const tls = { certificate: pem(serverCertificate), key: pem(serverKey) };
    // The certificate is for 127.0.0.1.
    const listener = await listen({}, { tls, host: "127.0.0.2" });
    using retake = connectRetake({ target: `127.0.0.2:${listener.port}`, tls: { ca: caCertificate }, retryForMs: 0 });
    await expect(retake.attach(runId).get()).rejects.toMatchObject({
      rawMessage: expect.stringContaining("127.0.0.2 is not in the cert's list"),
    });
  });
});
