import { setTimeout as wait } from "node:timers/promises";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { Health } from "../../../gen/grpc/health/v1/health_pb.js";
import { ArtifactService } from "../../../gen/retake/v1/artifact_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { AccessService } from "../../gen/retake/test/v1/access_pb.js";
import { type AccessServer, startAccessServer, workflow } from "./access-server.ts";
import { asApiKey, type Front, fronts, transportTo } from "./callers.ts";

let running: AccessServer;
const transports: { close(): void }[] = [];
const held = Promise.withResolvers<void>();
/** What unary calls wait for, by who makes them. */
const answering = new Map<string, PromiseWithResolvers<void>>();

beforeAll(async () => {
  running = await startAccessServer(
    { workflows: { [workflow("Streamed")]: { callerGrace: { seconds: 60n } } } },
    {
      async authenticated(_, { run }) {
        await answering.get(run.owner.subject)?.promise;
        return {};
      },
      async *streamed(_, { signal }) {
        yield { update: { case: "progress", value: { message: "begun" } } };
        const gone = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        await Promise.race([held.promise, gone]);
        yield { update: { case: "text", value: "done" } };
      },
    },
  );
});
afterAll(async () => {
  held.resolve();
  for (const transport of transports) transport.close();
  await running.server.close({ drainTimeoutMs: 0 });
});

/** Calls as somebody whose credentials can be revoked. */
function as(subject: string, front: Front, level = AccessLevel.AUTHENTICATED): Transport {
  const transport = transportTo(running.server, front, asApiKey({ subject, level }));
  transports.push(transport);
  return transport;
}

/** How a stream ends whose credentials are revoked once its first message has come. */
async function endOf(subject: string, stream: AsyncIterable<unknown>): Promise<ConnectError | undefined> {
  try {
    for await (const _ of stream) {
      running.revoked.add(subject);
    }
  } catch (error) {
    return ConnectError.from(error);
  }
  return undefined;
}

function expectEnded(error: ConnectError | undefined): void {
  expect([error && Code[error.code], error?.findDetails(ErrorInfoSchema)[0]?.reason]).toEqual([
    "Unauthenticated",
    "CREDENTIALS_ENDED",
  ]);
}

const admin = () => createClient(RunService, as("root", "gRPC", AccessLevel.ADMIN));

/** The newest run of somebody, once it is in one of these states. */
async function runOf(subject: string, ...states: RunState[]) {
  for (;;) {
    const [run] = (await admin().listRuns({ owner: { subject }, pageSize: 1 })).runs;
    if (run !== undefined && states.includes(run.state)) return run;
    await wait(20);
  }
}

describe.concurrent.each(fronts)("credentials that end while a stream is open, over %s", (front) => {
  const who = (what: string): string => `${what} over ${front}`;

  it("end a workflow's stream, and its run with it where it has no key", async () => {
    const subject = who("caller");
    const { streamed } = createClient(AccessService, as(subject, front));
    expectEnded(await endOf(subject, streamed({ parts: [{ name: subject }] })));
    const { state } = await runOf(subject, RunState.CANCELLED);
    expect(state).toBe(RunState.CANCELLED);
  });

  it("leave a detached run, and one with a key, as their caller's leaving does", async () => {
    const kinds: Record<string, string>[] = [{ "retake-detach": "true" }, { "idempotency-key": "k" }];
    await Promise.all(
      kinds.map(async (headers) => {
        const subject = who(Object.keys(headers)[0] ?? "");
        const { streamed } = createClient(AccessService, as(subject, front));
        expectEnded(await endOf(subject, streamed({ parts: [{ name: subject }] }, { headers })));
        expect((await runOf(subject, RunState.RUNNING)).state).toBe(RunState.RUNNING);
      }),
    );
  });

  it("keep the answer of a unary call from its caller, and leave its run alone", async () => {
    const subject = who("waiting");
    const gate = Promise.withResolvers<void>();
    answering.set(subject, gate);
    const call = createClient(AccessService, as(subject, front)).authenticated({});
    const answer = call.catch((thrown: unknown) => ConnectError.from(thrown));
    await runOf(subject, RunState.RUNNING);
    running.revoked.add(subject);
    gate.resolve();
    const error = await answer;
    expectEnded(error instanceof ConnectError ? error : undefined);
    expect((await runOf(subject, RunState.SUCCEEDED)).state).toBe(RunState.SUCCEEDED);
  });

  it("end what watches a run, alerts, or the server's health", async () => {
    const { run } = await createClient(RunService, as("starter", front)).startRun({
      workflow: workflow("Streamed"),
      input: { case: "json", value: JSON.stringify({ parts: [{ name: "starter" }] }) },
    });
    const streams: Record<string, (transport: Transport) => AsyncIterable<unknown>> = {
      run: (transport) => createClient(RunService, transport).watchRun({ runId: run?.runId ?? "" }),
      alerts: (transport) => createClient(MonitoringService, transport).watchAlerts({}),
      health: (transport) => createClient(Health, transport).watch({}),
    };
    await Promise.all(
      Object.entries(streams).map(async ([name, open]) => {
        const subject = who(name);
        expectEnded(await endOf(subject, open(as(subject, front, AccessLevel.ADMIN))));
      }),
    );
  });
});

describe("credentials that end during an upload", () => {
  it.concurrent.each(["gRPC", "in process"] as const)("keep nothing of it, over %s", async (front) => {
    const subject = `uploader over ${front}`;
    const parts = (async function* () {
      yield { part: { case: "start" as const, value: { name: "a.txt" } } };
      yield { part: { case: "chunk" as const, value: Buffer.from("some") } };
      await wait(100);
      running.revoked.add(subject);
      await wait(1200);
      yield { part: { case: "chunk" as const, value: Buffer.from("more") } };
    })();
    const files = createClient(ArtifactService, as(subject, front));
    const error = await files.uploadArtifact(parts).catch((thrown: unknown) => ConnectError.from(thrown));
    expectEnded(error instanceof ConnectError ? error : undefined);
    const all = createClient(ArtifactService, as("root", "gRPC", AccessLevel.ADMIN));
    expect((await all.listArtifacts({ owner: { subject } })).artifacts).toEqual([]);
  });
});
