import { on as events, once } from "node:events";
import { request } from "node:http";
import type { Socket } from "node:net";
import { setImmediate, setTimeout as wait } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ArtifactService, UploadArtifactRequestSchema } from "../../gen/retake/v1/artifact_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { deferred, rejection } from "./harness.ts";
import { fetchWeb, jsonCall, openSocket, readToEnd, startListening } from "./listening-server.ts";

const plain = `/${WorkflowsService.typeName}/Plain`;
const streaming = `/${WorkflowsService.typeName}/Streaming`;
const upload = `/${ArtifactService.typeName}/UploadArtifact`;
const watchRun = `/${RunService.typeName}/WatchRun`;
const second = { seconds: 1n };

/** Reads until that has come. */
async function readUntil(socket: Socket, pattern: RegExp): Promise<string> {
  let text = "";
  for await (const [chunk] of events(socket, "data", { close: ["close"] })) {
    text += (chunk as Buffer).toString("latin1");
    if (pattern.test(text)) return text;
  }
  throw new Error(`the connection ended after ${text}`);
}

describe("the web port limits", () => {
  it("the headers of a request", async () => {
    const { webPort } = await startListening({}, { config: { web: { limits: { maxHeaderBytes: 2048 } } } });
    const headers = { "content-type": "application/json", "x-filling": "x".repeat(1500) };
    expect((await fetchWeb(webPort, plain, { headers, body: "{}" })).status).toBe(200);
    const tooMany = await fetchWeb(webPort, plain, { headers: { ...headers, "x-more": "x".repeat(1000) }, body: "{}" });
    expect(tooMany.status).toBe(431);
    expect(tooMany.json).toEqual({
      code: "resource_exhausted",
      message: "the headers have more than the 2048 bytes that the server takes (max_header_bytes)",
    });
  });

  it("a request's message, and lets its sender finish and hear of it on the same connection", async () => {
    const { webPort, web } = await startListening({}, { config: { web: { limits: { maxMessageBytes: 20_000 } } } });
    const socket = await openSocket(webPort);
    const tooLarge = JSON.stringify({ text: "x".repeat(5_000_000) });
    socket.write(jsonCall(plain, tooLarge));
    const answer = await readUntil(socket, /\}$/);
    expect(answer).toMatch(/^HTTP\/1\.1 429 /);
    expect(answer).toContain("the request of retake.test.v1.WorkflowsService/Plain has more than the 20000 bytes");
    expect(answer).toContain("(max_message_bytes)");
    socket.write(jsonCall(plain, '{"text":"small"}'));
    expect(await readUntil(socket, /\}$/)).toContain('{"text":"small"}');
    for (const [protocol, transport] of Object.entries(web)) {
      const workflows = createClient(WorkflowsService, transport);
      expect((await workflows.plain({ text: "x".repeat(19_000) })).text).toHaveLength(19_000);
      await rejection(workflows.plain({ text: "x".repeat(30_000) }), Code.ResourceExhausted);
      expect(protocol).toBeTruthy();
    }
  });

  it("a request's message after decompression", async () => {
    const { webPort } = await startListening({}, { config: { web: { limits: { maxMessageBytes: 20_000 } } } });
    const bomb = gzipSync(JSON.stringify({ text: "x".repeat(10_000_000) }));
    expect(bomb.length).toBeLessThan(20_000);
    const headers = { "content-type": "application/json", "content-encoding": "gzip" };
    expect((await fetchWeb(webPort, plain, { headers, body: bomb })).json["code"]).toBe("resource_exhausted");
    const one = Buffer.alloc(5);
    one.writeUInt8(1);
    one.writeUInt32BE(bomb.length, 1);
    const grpcWeb = { "content-type": "application/grpc-web+json", "grpc-encoding": "gzip" };
    const answer = await fetchWeb(webPort, plain, { headers: grpcWeb, body: Buffer.concat([one, bomb]) });
    expect(answer.body.toString()).toContain(`grpc-status: ${Code.ResourceExhausted}`);
  });

  it("a result, and says what to do instead", async () => {
    const own = { plain: ({ text }: { text: string }) => ({ text: "x".repeat(Number(text)) }) };
    const { web, runs } = await startListening(own, { config: { web: { limits: { maxMessageBytes: 2000 } } } });
    for (const transport of Object.values(web)) {
      const workflows = createClient(WorkflowsService, transport);
      // Field and length take three bytes.
      expect((await workflows.plain({ text: "1997" })).text).toHaveLength(1997);
      const error = await rejection(workflows.plain({ text: "1998" }), Code.ResourceExhausted);
      expect(error.rawMessage).toContain("return a reference to it instead");
    }
    // What fits is delivered by every method, also together with what is told about it.
    const { run } = await runs.startRun({
      workflow: plain.slice(1),
      input: { case: "json", value: '{"text":"1997"}' },
    });
    for (const transport of Object.values(web)) {
      const results: (number | undefined)[] = [];
      for await (const { update } of createClient(RunService, transport).watchRun({ runId: run?.runId ?? "" })) {
        if (update.case === "event" && update.value.event.case === "succeeded") {
          results.push(update.value.event.value.result?.value?.value.length);
        }
      }
      expect(results).toEqual([2000]);
    }
  });

  it("the time in which a request arrives", async () => {
    const { webPort } = await startListening({}, { config: { web: { limits: { requestTimeout: second } } } });
    const slowly = jsonCall(plain, JSON.stringify({ text: "x".repeat(1000) }));
    await Promise.all(
      // Nothing at all, half of the headers, half of the body.
      [0, 40, 500].map(async (bytes) => {
        const socket = await openSocket(webPort);
        socket.write(slowly.slice(0, bytes));
        const answer = await readToEnd(socket);
        expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
        expect(answer).toContain("the request has not arrived within 1 s (request_timeout)");
      }),
    );
  });

  it("the time in which a request arrives, though a little of it comes all the time: a call, an upload, a refused one", async () => {
    const { webPort } = await startListening({}, { config: { web: { limits: { requestTimeout: second } } } });
    const start = toBinary(
      UploadArtifactRequestSchema,
      create(UploadArtifactRequestSchema, { part: { case: "start", value: { name: "a.txt" } } }),
    );
    const requests = [
      { path: plain, type: "application/json", body: Buffer.from('{"text":"') },
      { path: upload, type: "application/connect+proto", body: Buffer.from([0, 0, 0, 0, start.length, ...start]) },
      { path: `${upload}s`, type: "application/json", body: Buffer.from("{") },
    ];
    await Promise.all(
      requests.map(async ({ path, type, body }) => {
        const socket = await openSocket(webPort);
        socket.on("error", () => undefined);
        socket.write(
          `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${type}\r\ntransfer-encoding: chunked\r\n\r\n`,
        );
        const chunk = (bytes: Buffer) => {
          socket.write(`${bytes.length.toString(16)}\r\n`);
          socket.write(bytes);
          socket.write("\r\n");
        };
        chunk(body);
        const begun = performance.now();
        const trickle = setInterval(() => chunk(Buffer.from("x")), 50);
        socket.resume();
        // A write that comes too late is no matter.
        await new Promise((resolve) => socket.once("close", resolve));
        clearInterval(trickle);
        expect(performance.now() - begun).toBeLessThan(4000);
      }),
    );
  });

  it("the time that a connection stays without a request, but not that of a call", async () => {
    const gate = deferred();
    const started = deferred();
    const { webPort } = await startListening(
      {
        plain: async ({ text }) => {
          if (text === "wait") {
            started.resolve();
            await gate.promise;
          }
          return { text };
        },
      },
      { config: { web: { limits: { keepaliveTimeout: second, requestTimeout: second } } } },
    );
    const calling = await openSocket(webPort);
    calling.write(jsonCall(plain, '{"text":"wait"}'));
    await started.promise;
    const idle = await openSocket(webPort);
    idle.write(jsonCall(plain, "{}"));
    expect(await readToEnd(idle)).toMatch(/^HTTP\/1\.1 200 /);
    gate.resolve();
    expect(await readUntil(calling, /\}$/)).toContain('{"text":"wait"}');
  });

  it("what one source leaves unread, and is in the middle of sending, over all its connections", async () => {
    const megabyte = 1024 * 1024;
    const { webPort } = await startListening(
      { plain: ({ text }) => ({ text: "x".repeat(Number(text)) }) },
      {
        config: {
          grpc: { limits: { maxMessageBytes: 16 * megabyte } },
          web: { limits: { maxMessageBytes: 16 * megabyte, maxUnsentMegabytesPerSource: 25 } },
        },
      },
    );
    const answered = () =>
      fetchWeb(webPort, plain, { body: `{"text":"${10 * megabyte}"}` }).then(
        ({ json }) => String(json["text"]).length,
        ({ code }: { code: string }) => code,
      );
    const much = `{"text":"1"}${" ".repeat(10 * megabyte)}`;
    const large = jsonCall(plain, much);
    const sent = async () => {
      const socket = await openSocket(webPort);
      socket.write(large);
      const answer = await readUntil(socket, /\}$/);
      socket.destroy();
      return answer.slice(0, "HTTP/1.1 200".length);
    };
    for (const request of [jsonCall(plain, `{"text":"${10 * megabyte}"}`), large.slice(0, -1)]) {
      const held = [await openSocket(webPort), await openSocket(webPort)];
      for (const socket of held) {
        socket.on("error", () => undefined);
        socket.pause();
        socket.write(request);
      }
      // All of it is there, or as much of its answer as anybody takes.
      await expect.poll(() => held.every(({ writableLength }) => writableLength === 0)).toBe(true);
      await wait(300);
      await expect.poll(answered).toBe("ECONNRESET");
      expect(await sent()).toBe("HTTP/1.1 429");
      for (const socket of held) socket.destroy();
      await expect.poll(answered).toBe(10 * megabyte);
      expect(await sent()).toBe("HTTP/1.1 200");
    }
  });

  it("requests with expectations that nobody meets, which count as others do", async () => {
    const { webPort } = await startListening({});
    const one = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nexpect: x\r\n\r\n";
    const few = await openSocket(webPort);
    few.write(one);
    expect(await readUntil(few, /\r\n\r\n/)).toMatch(/^HTTP\/1\.1 417 /);
    few.destroy();
    const many = await openSocket(webPort);
    many.on("error", () => undefined);
    many.write(one.repeat(1000));
    expect((await readToEnd(many).catch(() => "")).split(" 417 ").length).toBeLessThan(20);
    await expect(fetchWeb(webPort, "/healthz")).rejects.toThrow();
  });

  it("requests that a connection sends at once, and who goes beyond that gets no new one for a while", async () => {
    const { webPort } = await startListening();
    const few = await openSocket(webPort);
    few.write(jsonCall(plain, '{"text":"a"}').repeat(10));
    let text = "";
    while (text.split('{"text":"a"}').length <= 10) text += await readUntil(few, /\}$/);
    const many = await openSocket(webPort);
    many.write(jsonCall(plain, '{"text":"b"}').repeat(5_000));
    // Cut off while there is more to read of it: that may look like a reset.
    const answers = await readToEnd(many).catch(() => "");
    expect(answers.split('{"text":"b"}').length).toBeLessThanOrEqual(17);
    const next = await openSocket(webPort);
    next.write(jsonCall(plain, "{}"));
    expect(await readToEnd(next).catch(() => "")).toBe("");
    few.write(jsonCall(plain, '{"text":"c"}'));
    expect(await readUntil(few, /\}$/)).toContain('{"text":"c"}');
  });

  it("the number of connections: one more is closed", async () => {
    const { webPort } = await startListening({}, { config: { web: { limits: { maxConnections: 2 } } } });
    const kept = [await openSocket(webPort), await openSocket(webPort)];
    const one = await openSocket(webPort);
    expect(await readToEnd(one)).toBe("");
    kept[0]?.write(jsonCall(plain, '{"text":"kept"}'));
    expect(await readUntil(kept[0] as Socket, /\}$/)).toContain("kept");
  });

  it("all of that on localhost too, which is bound once", async () => {
    const { webPort } = await startListening(
      {},
      { config: { web: { host: "localhost", limits: { maxConnections: 1 } } } },
    );
    const first = request({ host: "localhost", port: webPort, path: "/healthz", agent: false });
    first.flushHeaders();
    await once(first, "socket");
    const [socket] = [first.socket as Socket];
    await once(socket, "connect");
    for (const host of ["127.0.0.1", "::1"]) {
      const other = request({ host, port: webPort, path: "/healthz", agent: false });
      other.end();
      await expect(once(other, "response")).rejects.toThrow(/ECONNRE|hang up/);
    }
    first.destroy();
  });
});

describe("a slow reader of the web port", () => {
  it("finds the newest progress, not a heap of older ones, and keeps nobody else waiting", async () => {
    const steps = 20_000;
    const started = deferred();
    const goOn = deferred();
    const end = deferred();
    const server = await startListening({
      async *streaming() {
        started.resolve();
        await goOn.promise;
        for (let step = 1; step <= steps; step++) {
          yield { update: { case: "progress", value: { step, message: "x".repeat(100) } } };
        }
        await end.promise;
        yield { update: { case: "result", value: "done" } };
      },
    });
    const { run } = await server.runs.startRun({ workflow: streaming.slice(1) });
    const runId = run?.runId ?? "";
    await started.promise;
    const watch = Buffer.from(JSON.stringify({ runId }));
    const envelope = Buffer.alloc(5);
    envelope.writeUInt32BE(watch.length, 1);
    const slow = await openSocket(server.webPort);
    slow.pause();
    const head = jsonCall(watchRun, "", {
      "content-type": "application/connect+json",
      "content-length": String(watch.length + 5),
      connection: "close",
    });
    slow.write(Buffer.concat([Buffer.from(head), envelope, watch]));
    // Whoever reads sees the last step while the slow one has not read anything.
    const quick = (async () => {
      let last = 0;
      for await (const { update } of server.runs.watchRun({ runId })) {
        if (update.case === "progress") {
          last = update.value.progress?.step ?? last;
          if (last === steps) end.resolve();
        }
      }
      return last;
    })();
    goOn.resolve();
    expect(await quick).toBe(steps);
    slow.resume();
    const seen = await readToEnd(slow);
    const sent = [...seen.matchAll(/"step":(\d+)/g)].map(([, step]) => Number(step));
    expect(sent.length).toBeLessThan(steps / 2);
    expect(seen).toContain('"succeeded"');
  });

  it("is sent the newest of large updates, and costs no memory for the others", async () => {
    const updates = 400;
    const stuck = deferred();
    const end = deferred();
    const line = "x".repeat(100_000);
    const server = await startListening({
      async *streaming() {
        for (let update = 0; update < updates; update++) {
          yield { update: { case: "preview", value: line } };
          await setImmediate();
        }
        stuck.resolve();
        await end.promise;
        yield { update: { case: "result", value: "done" } };
      },
    });
    const slow = await openSocket(server.webPort);
    slow.pause();
    const head = jsonCall(streaming, "", {
      "content-type": "application/connect+proto",
      "content-length": "5",
      connection: "close",
    });
    slow.write(Buffer.concat([Buffer.from(head), Buffer.alloc(5)]));
    await stuck.promise;
    expect((await fetchWeb(server.webPort, plain, { body: "{}" })).status).toBe(200);
    end.resolve();
    slow.resume();
    const received = await readToEnd(slow);
    // What the system's own buffers took, and a little more.
    expect(received.length).toBeLessThan((updates * line.length) / 2);
    expect(received).toContain("done");
  });

  it("that goes while its answer is stuck leaves nothing behind", async () => {
    const ended = deferred();
    const text = "x".repeat(3_000_000);
    const calls = { started: 0 };
    const server = await startListening({
      async *streaming(_, context) {
        context.signal.addEventListener("abort", () => ended.resolve());
        calls.started += 1;
        yield { update: { case: "preview", value: text } };
        yield { update: { case: "preview", value: text } };
        await once(context.signal, "abort");
        context.signal.throwIfAborted();
      },
    });
    const slow = await openSocket(server.webPort);
    slow.pause();
    const head = jsonCall(streaming, "", { "content-type": "application/grpc-web+proto", "content-length": "5" });
    slow.write(Buffer.concat([Buffer.from(head), Buffer.alloc(5)]));
    await expect.poll(() => calls.started).toBe(1);
    await expect.poll(() => slow.readableLength).toBeGreaterThan(0);
    slow.resetAndDestroy();
    await ended.promise;
    const [{ runId } = { runId: "" }] = (await server.runs.listRuns({})).runs;
    for await (const _ of server.runs.watchRun({ runId })) {
      // To its end: nobody is attached to it any more.
    }
  });
});
