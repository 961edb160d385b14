import { once } from "node:events";
import { connect, createServer, type OutgoingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { setImmediate } from "node:timers/promises";
import { expect, it, onTestFinished } from "vitest";
import { forgetClosed } from "../../src/transport/closed-streams.ts";

const forms = [
  ["a list", [":status", "200", "retake-run-id", "run"]],
  ["an object", { ":status": 200, "retake-run-id": "run" }],
] as const;

/** Streams of a real server that have been served and closed, and forgotten then. */
async function serve(count: number, headers: OutgoingHttpHeaders | readonly string[]) {
  const streams: ServerHttp2Stream[] = [];
  const heard: string[] = [];
  const server = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  server.on("stream", (stream: ServerHttp2Stream) => {
    streams.push(stream);
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.on("close", () => forgetClosed(stream));
    stream.on("close", () => heard.push(`closed ${stream.sentTrailers?.["grpc-status"]}`));
    stream.resume();
    stream.respond(headers as OutgoingHttpHeaders, { waitForTrailers: true });
    stream.end("answer");
  });
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  onTestFinished(() => client.destroy());
  for (let served = 0; served < count; served++) {
    const call = client.request({ ":path": "/", ":method": "POST" }).end("request");
    call.resume();
    await once(call, "close");
  }
  await expect.poll(() => heard.length).toBe(count);
  await setImmediate();
  return { streams, heard };
}

it.each(forms)("a closed stream that has answered by %s knows nothing any more", async (_, headers) => {
  // Of very many not each is looked at for how Node keeps what was sent.
  const { streams, heard } = await serve(130, headers);
  // Others that hear of its end find everything still there.
  expect(new Set(heard)).toEqual(new Set(["closed 0"]));
  const last = streams.slice(-2);
  for (const stream of last) {
    expect(stream.eventNames()).toEqual([]);
    expect([stream.sentHeaders, stream.sentTrailers]).toEqual([undefined, undefined]);
  }
  const [one, other] = last as [ServerHttp2Stream, ServerHttp2Stream];
  const states = ({ _readableState, _writableState }: Record<string, unknown>) => [_readableState, _writableState];
  const [shared, same] = [one, other].map((stream) => states(stream as unknown as Record<string, unknown>));
  expect(shared?.map((state, side) => state === same?.[side])).toEqual([true, true]);
});

it("a closed stream that is used late does nothing, and harms no other", async () => {
  const { streams } = await serve(2, forms[0][1]);
  const [one, other] = streams as [ServerHttp2Stream, ServerHttp2Stream];
  const told: unknown[] = [];
  one.on("error", (error) => told.push(error));
  one.write("late", (error) => told.push((error as NodeJS.ErrnoException | null)?.code));
  one.end();
  one.close();
  one.destroy(new Error("late"));
  expect(() => one.respond({})).toThrow();
  await setImmediate();
  expect(told).toEqual(["ERR_STREAM_DESTROYED"]);
  expect(
    [one, other].map(({ destroyed, closed, writable, readable }) => [destroyed, closed, writable, readable]),
  ).toEqual([
    [true, true, false, false],
    [true, true, false, false],
  ]);
  expect(other.eventNames()).toEqual([]);
});
