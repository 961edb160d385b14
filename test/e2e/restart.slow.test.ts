import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { type HeldResponse, type StreamResponse, WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { connect } from "./connection.ts";
import { untilFirstStep, untilRunning } from "./held-runs.ts";
import { eventsOf, readJournals } from "./kill/journals.ts";
import { readMarks } from "./marks.ts";
import { createServerSite, type Exit, type ServerProcess } from "./server-process.ts";

const { method } = WorkloadService;

/** What any client of any language can be configured with; nothing of it knows about us. */
const serviceConfig = {
  methodConfig: [
    {
      name: [{ service: WorkloadService.typeName }],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.5s",
        maxBackoff: "5s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};

describe("a grpc-js client with a retry service config", () => {
  const endings: readonly [string, (server: ServerProcess) => Promise<Exit>, string][] = [
    ["is told to stop", (server) => server.terminate(), "HANDED_BACK"],
    ["is killed", (server) => server.kill(), "INTERRUPTED"],
  ];
  for (const [what, end, reason] of endings) {
    it(`gets its answer when the server ${what} and starts again`, async () => {
      await using site = await createServerSite({ drainTimeoutMs: 0 });
      const before = site.launch();
      await before.ready;
      using caller = plainClient(site.grpcPort);
      const call = caller.held("the key");
      using watcher = connect(site.grpcPort);
      const [runId = ""] = await untilRunning(watcher, 1);
      await untilFirstStep(watcher, runId);

      await end(before);
      const after = site.launch();
      await after.ready;
      using connection = connect(site.grpcPort);
      await untilRunning(connection, 1, 2);
      after.release("gate");

      const { response, headers } = await call;
      const journals = await readJournals(connection);
      expect([...journals.keys()]).toEqual([runId]);
      const run = journals.get(runId);
      // Headers would have ended the retries, so they come with the answer: of the one run that it was all along.
      expect(headers).toEqual([runId]);
      expect(run?.run).toMatchObject({ state: RunState.SUCCEEDED, statistics: { attempts: 2, interruptions: 1 } });
      expect(run && eventsOf(run, "attemptFailed").map(({ failure }) => failure?.reason)).toEqual([reason]);
      expect(response.token).toBe(run && eventsOf(run, "attemptStarted")[1]?.token);
      expect(readMarks(site.marksPath).flatMap(({ step }) => step ?? [])).toEqual(["before", "after"]);
    }, 120_000);
  }

  it("must call a streaming workflow again itself, since its headers have arrived, and gets the same run", async () => {
    await using site = await createServerSite({ longestWorkMs: 200 });
    const before = site.launch();
    await before.ready;
    using caller = plainClient(site.grpcPort);
    const first = caller.stream("the key");
    await first.headers;
    await before.kill();
    await expect(first.end).rejects.toMatchObject({ code: status.UNAVAILABLE });

    const after = site.launch();
    await after.ready;
    const again = caller.stream("the key");
    expect(await again.headers).toBe(await first.headers);
    expect((await again.end).at(-1)?.update.case).toBe("token");
  }, 120_000);
});

interface PlainClient extends Disposable {
  held(key: string): Promise<{ response: HeldResponse; headers: readonly string[] }>;
  stream(key: string): { headers: Promise<string>; end: Promise<StreamResponse[]> };
}

/** grpc-js as it is, with serialising functions as any generated client has them. */
function plainClient(port: number): PlainClient {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    "grpc.service_config": JSON.stringify(serviceConfig),
    "grpc.use_local_subchannel_pool": 1,
  });
  const metadata = new Metadata({ waitForReady: true });
  const runIdOf = (header: Metadata): string => String(header.get("retake-run-id")[0]);
  return {
    held: (key) =>
      new Promise((resolve, reject) => {
        const { input, output } = method.held;
        const headers: string[] = [];
        const call = client.makeUnaryRequest(
          `/${WorkloadService.typeName}/Held`,
          (request: { key: string; gate: string }) =>
            Buffer.from(toBinary(input, { $typeName: input.typeName, ...request })),
          (bytes) => fromBinary(output, bytes),
          { key, gate: "gate" },
          metadata,
          (error: ServiceError | null, response) => {
            if (error !== null || response === undefined) {
              reject(error);
            } else {
              resolve({ response, headers });
            }
          },
        );
        call.on("metadata", (header) => headers.push(runIdOf(header)));
      }),
    stream: (key) => {
      const { input, output } = method.stream;
      const headers = Promise.withResolvers<string>();
      const end = Promise.withResolvers<StreamResponse[]>();
      end.promise.catch(() => undefined);
      const responses: StreamResponse[] = [];
      client
        .makeServerStreamRequest(
          `/${WorkloadService.typeName}/Stream`,
          (request: { key: string; lines: number }) =>
            Buffer.from(toBinary(input, { $typeName: input.typeName, ...request })),
          (bytes) => fromBinary(output, bytes),
          { key, lines: 10 },
          metadata,
        )
        .on("metadata", (header) => headers.resolve(runIdOf(header)))
        .on("data", (response) => responses.push(response))
        .on("error", end.reject)
        .on("end", () => end.resolve(responses));
      return { headers: headers.promise, end: end.promise };
    },
    [Symbol.dispose]: () => client.close(),
  };
}
