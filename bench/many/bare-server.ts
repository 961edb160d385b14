import { create, toBinary } from "@bufbuild/protobuf";
import { type handleServerStreamingCall, Server, ServerCredentials } from "@grpc/grpc-js";
import { RunEventSchema } from "../../gen/retake/v1/run_pb.js";
import { WatchRunResponseSchema } from "../../gen/retake/v1/run_service_pb.js";
import { timestampFromMs } from "../../src/runs/time.ts";
import { PlainResponseSchema } from "../../test/gen/retake/test/v1/workflows_pb.js";
import { plainDefinition } from "../servers/plain-method.ts";
import type { Hold } from "./hold.ts";
import type { ManyReady } from "./server-messages.ts";

export const bareWatchPath = "/retake.bench.Bare/Watch";

/** What streams and waiting calls cost on bare grpc-js: events are encoded once and written to each. */
export async function startBare(hold: Hold): Promise<ManyReady> {
  const startMs = performance.now();
  const server = new Server({ "grpc.enable_channelz": 0, "grpc.max_concurrent_streams": 1000 });
  const streams = new Set<{ write(message: Buffer): unknown }>();
  const watch: handleServerStreamingCall<Buffer, Buffer> = (call) => {
    streams.add(call);
    call.on("close", () => streams.delete(call));
    // As a watcher of a run that has begun gets them at once.
    call.write(encodeNow(1));
    call.write(encodeNow(2));
  };
  const pass = (bytes: Buffer): Buffer => bytes;
  server.addService(
    {
      Watch: {
        path: bareWatchPath,
        requestStream: false,
        responseStream: true,
        requestSerialize: pass,
        requestDeserialize: pass,
        responseSerialize: pass,
        responseDeserialize: pass,
      },
    },
    { Watch: watch },
  );
  server.addService(plainDefinition, {
    Plain: (_: unknown, callback: (error: null, response: unknown) => void) => {
      void hold.wait().then(() => callback(null, create(PlainResponseSchema)));
    },
  });
  let sequence = 2;
  hold.onEmit(() => {
    sequence++;
    const message = encodeNow(sequence);
    for (const stream of streams) {
      stream.write(message);
    }
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, webPort: 0, listenMs: performance.now() - startMs };
}

function encodeNow(sequence: number): Buffer {
  const event = create(RunEventSchema, { sequence: BigInt(sequence), time: timestampFromMs(Date.now()) });
  return Buffer.from(
    toBinary(WatchRunResponseSchema, create(WatchRunResponseSchema, { update: { case: "event", value: event } })),
  );
}
