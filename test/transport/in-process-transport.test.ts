import { create, createFileRegistry, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, createClient, createServiceImplSpec } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { createVirtualClock } from "../../src/testing/virtual-clock.ts";
import { createInProcessTransport } from "../../src/transport/index.ts";
import {
  file_retake_test_v1_transport,
  TransportService,
  UnaryResponseSchema,
} from "../gen/retake/test/v1/transport_pb.js";
import { aborted, failure, type TestImplementation } from "./transport-contract.ts";

function connectTo(implementation: TestImplementation) {
  const clock = createVirtualClock();
  const transport = createInProcessTransport([createServiceImplSpec(TransportService, implementation)], { clock });
  return { clock, transport, client: createClient(TransportService, transport) };
}

test("deadlines run on the given clock, on both sides", async () => {
  let left: number | undefined;
  const { client, clock } = connectTo({
    unary: async (_, context) => {
      await clock.advance(400);
      left = context.timeoutMs();
      return await new Promise(() => undefined);
    },
  });
  const call = failure(client.unary({}, { timeoutMs: 1000 }));
  await clock.advance(1000);
  expect((await call).code).toBe(Code.DeadlineExceeded);
  expect(left).toBe(600);
  expect(clock.pendingTimers).toBe(0);
});

test("a caller does not wait for an implementation that ignores its signal", async () => {
  const { client } = connectTo({
    unary: () => new Promise(() => undefined),
    async *serverStream() {
      yield { index: 0 };
      await new Promise(() => undefined);
    },
  });
  const controller = new AbortController();
  const unary = failure(client.unary({}, { signal: controller.signal }));
  const stream = failure(
    (async () => {
      for await (const _ of client.serverStream({}, { signal: controller.signal })) {
        queueMicrotask(() => controller.abort());
      }
    })(),
  );
  expect((await stream).code).toBe(Code.Canceled);
  expect((await unary).code).toBe(Code.Canceled);
});

test("an unknown service is Unimplemented", async () => {
  const transport = createInProcessTransport([]);
  const client = createClient(TransportService, transport);
  const error = await failure(client.unary({}));
  expect([error.code, error.rawMessage]).toEqual([
    Code.Unimplemented,
    "there is no method retake.test.v1.TransportService/Unary in this process",
  ]);
  expect((await failure(client.serverStream({})[Symbol.asyncIterator]().next())).code).toBe(Code.Unimplemented);
});

test("the implementation may know the service by another descriptor than the caller", async () => {
  const { proto } = file_retake_test_v1_transport;
  const set = fromBinary(
    FileDescriptorSetSchema,
    toBinary(FileDescriptorSetSchema, { $typeName: "google.protobuf.FileDescriptorSet", file: [proto] }),
  );
  const service = createFileRegistry(set).getService(TransportService.typeName) as DescService;
  const unary = (request: { text: string }) => ({ text: `dynamic ${request.text}` });
  const transport = createInProcessTransport([createServiceImplSpec(service, { unary } as never)]);
  expect((await createClient(TransportService, transport).unary({ text: "call" })).text).toBe("dynamic call");
});

test("streamed messages are cloned too", async () => {
  const kept = create(UnaryResponseSchema, { text: "kept" });
  const sent: { text: string }[] = [];
  const { client } = connectTo({
    async *bidi(requests) {
      for await (const request of requests) {
        request.text = `changed ${request.text}`;
        yield { text: kept.text };
      }
    },
  });
  const requests = (async function* () {
    const request = { text: "mine" };
    sent.push(request);
    yield request;
  })();
  for await (const response of client.bidi(requests)) {
    response.text = "changed";
  }
  expect([kept.text, sent[0]?.text]).toEqual(["kept", "mine"]);
});

test("the signal that the implementation holds aborts when the caller leaves the stream", async () => {
  const left = Promise.withResolvers<unknown>();
  const { transport } = connectTo({
    async *serverStream(_, context) {
      void aborted(context.signal).then(left.resolve);
      for (;;) {
        yield {};
      }
    },
  });
  const response = await transport.stream(
    TransportService.method.serverStream,
    undefined,
    undefined,
    undefined,
    (async function* () {
      yield {};
    })(),
  );
  for await (const _ of response.message) {
    break;
  }
  expect(await left.promise).toBeInstanceOf(Error);
});
