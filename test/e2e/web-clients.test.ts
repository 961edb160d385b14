import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { createRegistry } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { file_retake_test_e2e_v1_workload, WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { describeWithTool } from "../tools.ts";
import { createServerSite, type ServerSite } from "./server-process.ts";

const run = promisify(execFile);

let site: ServerSite;
let baseUrl: string;

beforeAll(async () => {
  site = await createServerSite();
  baseUrl = `http://127.0.0.1:${site.webPort}`;
  await site.launch().ready;
}, 60_000);

afterAll(async () => {
  await site[Symbol.asyncDispose]();
});

/** What curl got. */
interface Response {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
}

async function curl(path: string, ...options: string[]): Promise<Response> {
  const headerFile = join(site.root, "headers");
  const { stdout } = await run(
    "curl",
    ["--silent", "--show-error", "--max-time", "60", "--dump-header", headerFile, ...options, `${baseUrl}${path}`],
    { encoding: "buffer" },
  );
  const [statusLine = "", ...lines] = (await readFile(headerFile, "utf8")).trim().split("\r\n");
  const headers = new Headers(lines.map((line) => line.split(/: ?(.*)/s, 2) as [string, string]));
  return { status: Number(statusLine.split(" ")[1]), headers, body: stdout };
}

const json = ["--header", "content-type: application/json", "--data"];
const parsed = ({ body }: Response): Record<string, unknown> => JSON.parse(body.toString()) as Record<string, unknown>;
const path = (method: string, service = WorkloadService.typeName) => `/${service}/${method}`;

describeWithTool("curl", "curl, without any of our code", () => {
  it("calls a workflow in JSON, and gets the same answer again by its key", async () => {
    const call = () => curl(path("Single"), ...json, '{"key":"by curl","text":"ünïcode"}');
    const first = await call();
    expect(first.status).toBe(200);
    expect(first.headers.get("content-type")).toBe("application/json");
    expect(first.headers.get("retake-run-id")).toMatch(/^[0-9a-f-]{36}$/);
    expect(parsed(first)).toEqual({ text: "ünïcode", token: expect.stringMatching(/./) });
    const second = await call();
    expect(parsed(second)).toEqual(parsed(first));
    expect(second.headers.get("retake-run-id")).toBe(first.headers.get("retake-run-id"));
    const byHeader = await curl(path("Single"), "--header", "idempotency-key: by curl", ...json, '{"text":"other"}');
    expect(byHeader.status).toBe(409);
    expect(parsed(byHeader)).toMatchObject({ code: "already_exists", message: expect.stringContaining("by curl") });
  });

  it("streams a workflow message by message, its result last", async () => {
    const requestFile = join(site.root, "request");
    await writeFile(requestFile, envelope('{"lines":3}'));
    const response = await curl(
      path("Stream"),
      ...["--no-buffer", "--header", "content-type: application/connect+json", "--data-binary", `@${requestFile}`],
    );
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/connect+json");
    const messages = envelopes(response.body);
    expect(messages[0]).toEqual({ flags: 0, json: { progress: { stage: "queued" } } });
    const lines = messages.flatMap(({ json: message }) => message["line"] ?? []);
    const token = messages.at(-2)?.json["token"];
    expect(lines).toEqual([`${token}/0`, `${token}/1`, `${token}/2`]);
    const trailers = messages.at(-1);
    expect(trailers?.flags).toBe(2);
    expect(trailers?.json).toMatchObject({ metadata: { "retake-run-id": [response.headers.get("retake-run-id")] } });
    expect(trailers?.json).not.toHaveProperty("error");
  });

  it("starts a run, watches it to its end, and goes on watching behind any event", async () => {
    const started = await curl(
      path("StartRun", RunService.typeName),
      ...[...json, JSON.stringify({ workflow: `${WorkloadService.typeName}/Steps`, json: '{"text":"by curl"}' })],
    );
    const { runId } = parsed(started)["run"] as { runId: string };
    const watch = async (afterSequence: number) => {
      const requestFile = join(site.root, "request");
      await writeFile(requestFile, envelope(JSON.stringify({ runId, afterSequence })));
      const { body } = await curl(
        path("WatchRun", RunService.typeName),
        ...["--header", "content-type: application/connect+json", "--data-binary", `@${requestFile}`],
      );
      return envelopes(body).flatMap(({ json: message }) => message["event"] ?? []) as { sequence: string }[];
    };
    const events = await watch(0);
    const names = events.flatMap((event) => Object.keys(event).filter((name) => !["sequence", "time"].includes(name)));
    expect(names).toEqual([
      ...["accepted", "attemptStarted", "stepCompleted", "stepCompleted", "stepCompleted", "succeeded"],
    ]);
    expect(await watch(4)).toEqual(events.slice(4));
  });

  it("cancels a run, and sees it end", async () => {
    const started = await curl(
      path("StartRun", RunService.typeName),
      ...[...json, JSON.stringify({ workflow: `${WorkloadService.typeName}/Held`, json: '{"gate":"never"}' })],
    );
    const { runId } = parsed(started)["run"] as { runId: string };
    const cancel = await curl(path("CancelRun", RunService.typeName), ...json, JSON.stringify({ runId }));
    expect(cancel.status).toBe(200);
    const requestFile = join(site.root, "request");
    await writeFile(requestFile, envelope(JSON.stringify({ runId })));
    const { body } = await curl(
      path("WatchRun", RunService.typeName),
      ...["--header", "content-type: application/connect+json", "--data-binary", `@${requestFile}`],
    );
    const events = envelopes(body).flatMap(({ json: message }) => message["event"] ?? []);
    expect(events.at(-1)).toMatchObject({ cancelled: {} });
  });

  it("is told which field is wrong, in details that can be read", async () => {
    const request = { workflow: `${WorkloadService.typeName}/Stream`, json: '{"lines":-1}' };
    const response = await curl(path("StartRun", RunService.typeName), ...json, JSON.stringify(request));
    expect(response.status).toBe(400);
    expect(parsed(response)).toMatchObject({
      code: "invalid_argument",
      details: expect.arrayContaining([
        expect.objectContaining({
          type: "google.rpc.BadRequest",
          debug: { fieldViolations: [expect.objectContaining({ field: expect.stringContaining("lines") })] },
        }),
      ]),
    });
  });

  it("reads by GET what has no side effects, and only that", async () => {
    const single = await curl(path("Single"), ...json, "{}");
    const query = new URLSearchParams({
      connect: "v1",
      encoding: "json",
      message: JSON.stringify({ runId: single.headers.get("retake-run-id"), view: "RUN_VIEW_FULL" }),
    });
    const read = await curl(`${path("GetRun", RunService.typeName)}?${query}`);
    expect(read.status).toBe(200);
    expect(parsed(read)).toMatchObject({
      run: {
        workflow: `${WorkloadService.typeName}/Single`,
        state: "RUN_STATE_SUCCEEDED",
        result: { value: { "@type": `type.googleapis.com/${WorkloadService.method.single.output.typeName}` } },
      },
    });
    const unsafe = new URLSearchParams({ connect: "v1", encoding: "json", message: "{}" });
    expect((await curl(`${path("Single")}?${unsafe}`)).status).toBe(405);
  });

  it("is told what is wrong, as JSON with a code", async () => {
    const malformed = await curl(path("Steps"), ...json, '{"text":7}');
    expect(malformed.status).toBe(400);
    expect(parsed(malformed)).toMatchObject({ code: "invalid_argument", message: expect.stringContaining("text") });
    const unknownRun = await curl(
      path("GetRun", RunService.typeName),
      ...[...json, '{"runId":"018f0000-0000-7000-8000-000000000000"}'],
    );
    expect(unknownRun.status).toBe(404);
    expect(parsed(unknownRun)).toMatchObject({ code: "not_found" });
    expect((await curl(path("Nothing"), ...json, "{}")).status).toBe(404);
  });

  it("probes whether it lives and is ready", async () => {
    for (const probe of ["/healthz", "/readyz"]) {
      const response = await curl(probe);
      expect(response.status).toBe(200);
      expect(parsed(response)).toEqual({ status: "ok" });
    }
  });
});

describe.each([
  ["gRPC-Web", () => createGrpcWebTransport({ baseUrl })],
  // In JSON, results of any type are written out, so their types must be known.
  [
    "Connect",
    () =>
      createConnectTransport({ baseUrl, jsonOptions: { registry: createRegistry(file_retake_test_e2e_v1_workload) } }),
  ],
  ["Connect in binary, with GET", () => createConnectTransport({ baseUrl, useBinaryFormat: true, useHttpGet: true })],
])("a browser's client, speaking %s", (_, createTransport) => {
  it("calls, streams, starts and watches", async () => {
    const transport = createTransport();
    const workloads = createClient(WorkloadService, transport);
    const runs = createClient(RunService, transport);

    let runId = "";
    const response = await workloads.single(
      { text: "by a browser" },
      {
        onHeader: (header) => {
          runId = header.get("retake-run-id") ?? "";
        },
      },
    );
    expect(response).toMatchObject({ text: "by a browser" });
    const { run: found } = await runs.getRun({ runId });
    expect(found).toMatchObject({ runId, workflow: `${WorkloadService.typeName}/Single` });

    const kinds: (string | undefined)[] = [];
    for await (const { update } of workloads.stream({ lines: 2 })) {
      kinds.push(update.case);
    }
    expect(kinds[0]).toBe("progress");
    expect(kinds.filter((kind) => kind === "line" || kind === "token")).toEqual(["line", "line", "token"]);

    const started = await runs.startRun({ workflow: `${WorkloadService.typeName}/Steps` });
    const sequences: bigint[] = [];
    for await (const { update } of runs.watchRun({ runId: started.run?.runId ?? "", afterSequence: 2n })) {
      if (update.case === "event") {
        sequences.push(update.value.sequence);
      }
    }
    expect(sequences).toEqual([3n, 4n, 5n, 6n]);
  });

  it("gets errors with their codes and details", async () => {
    const runs = createClient(RunService, createTransport());
    const error = await runs.getRun({ runId: "018f0000-0000-7000-8000-000000000000" }).then(
      () => expect.unreachable(),
      (thrown: unknown) => ConnectError.from(thrown),
    );
    expect(error.code).toBe(Code.NotFound);
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "RUN_NOT_FOUND", domain: "retake.v1" }]);
  });
});

/** One message of a Connect stream: a flag byte, its length, and itself. */
function envelope(message: string): Buffer {
  const bytes = Buffer.from(message);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

function envelopes(body: Buffer): { flags: number; json: Record<string, unknown> }[] {
  const messages: { flags: number; json: Record<string, unknown> }[] = [];
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    messages.push({
      flags: body[at] ?? 0,
      json: JSON.parse(body.subarray(at + 5, end).toString()) as Record<string, unknown>,
    });
    at = end;
  }
  return messages;
}
