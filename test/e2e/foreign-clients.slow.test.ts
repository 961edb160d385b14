import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { file_retake_v1_run_service } from "../../gen/retake/v1/run_service_pb.js";
import { file_retake_test_e2e_v1_workload, WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { requireTool } from "../tools.ts";
import { descriptorSet } from "./descriptor-set.ts";
import { callAll } from "./fixtures/page.ts";
import { expectForeignReport } from "./foreign-report.ts";
import { requireGoClient } from "./go-client.ts";
import { requireGrpcurl } from "./grpcurl.ts";
import { startNginx } from "./nginx.ts";
import { makePythonStubs } from "./protoc-stubs.ts";
import { requirePythonWithGrpc } from "./python.ts";
import { createServerSite, type ServerSite } from "./server-process.ts";

const run = promisify(execFile);

let site: ServerSite;
let target: string;

beforeAll(async () => {
  site = await createServerSite();
  target = `127.0.0.1:${site.grpcPort}`;
  await site.launch().ready;
});

afterAll(async () => {
  await site[Symbol.asyncDispose]();
});

describe("a Python program with grpcio", () => {
  it("calls workflows durably, streams, starts runs and watches them", async (context) => {
    const python = await requirePythonWithGrpc(context);
    const descriptors = join(site.root, "contract.binpb");
    await writeFile(descriptors, descriptorSet(file_retake_test_e2e_v1_workload, file_retake_v1_run_service));
    const script = join(import.meta.dirname, "fixtures/foreign_client.py");
    const { stdout } = await run(python, [script, target, descriptors]);
    const said = JSON.parse(stdout) as {
      readonly run_ids: readonly string[];
      readonly updates: readonly string[];
      readonly watched: readonly (readonly [number, string])[];
      readonly resumed: unknown;
    };
    expect(said).toMatchObject({
      single: ["by Python", "by Python"],
      same_token: true,
      refusal: { code: "ALREADY_EXISTS", message: expect.stringContaining("by Python"), has_details: true },
    });
    expect(new Set(said.run_ids).size).toBe(1);
    expect(said.updates.filter((kind) => kind === "line" || kind === "token")).toEqual([
      ...["line", "line", "line", "token"],
    ]);
    expect(said.watched.map(([, kind]) => kind)).toEqual([
      ...["accepted", "attempt_started", "step_completed", "step_completed", "step_completed", "succeeded"],
    ]);
    expect(said.resumed).toEqual(said.watched.slice(3));
  });
});

describe("grpcurl, with nothing but the server's reflection", () => {
  it("lists, describes with options, calls, starts and watches, directly and through nginx", async (context) => {
    const program = await requireGrpcurl(context);
    const proxy = requireTool("nginx", context);
    await expectAllBy(program, ["-plaintext"], target);
    await using nginx = await startNginx(proxy, site);
    await expectAllBy(program, ["-cacert", nginx.caFile], `localhost:${nginx.grpcPort}`);
  });

  async function expectAllBy(program: string, flags: readonly string[], target: string): Promise<void> {
    const grpcurl = async (...args: string[]): Promise<string> =>
      (await run(program, [...flags, "-max-time", "60", ...args])).stdout;
    const messages = (output: string): Record<string, unknown>[] =>
      output
        .split(/^(?=\{)/m)
        .filter((part) => part.trim() !== "")
        .map((part) => JSON.parse(part) as Record<string, unknown>);

    expect((await grpcurl(target, "list")).trim().split("\n")).toEqual([
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      WorkloadService.typeName,
      "retake.v1.AdminService",
      "retake.v1.ArtifactService",
      "retake.v1.MonitoringService",
      "retake.v1.RunService",
    ]);
    const described = await grpcurl(target, "describe", `${WorkloadService.typeName}.Flaky`);
    expect(described).toContain("option (.retake.v1.workflow) = {");
    for (const part of ["max_attempts: 4", "initial_backoff", "max_interruptions: 1000"]) {
      expect(described).toContain(part);
    }
    expect(await grpcurl(target, "describe", "retake.test.e2e.v1.SingleRequest")).toContain(
      "[(.retake.v1.idempotency_key) = true]",
    );
    expect(await grpcurl(target, "describe", "retake.v1.ListRunsRequest")).toContain("(.buf.validate.field)");

    const call = ["-H", "idempotency-key: by grpcurl", "-d", '{"text":"by grpcurl"}', target];
    const [first] = messages(await grpcurl(...call, `${WorkloadService.typeName}/Single`));
    const [second] = messages(await grpcurl(...call, `${WorkloadService.typeName}/Single`));
    expect(first).toEqual({ text: "by grpcurl", token: expect.any(String) });
    expect(second).toEqual(first);

    const streamed = messages(await grpcurl("-d", '{"lines":2}', target, `${WorkloadService.typeName}/Stream`));
    const token = streamed.at(-1)?.["token"];
    expect(streamed.flatMap((message) => message["line"] ?? [])).toEqual([`${token}/0`, `${token}/1`]);

    const input = { "@type": "type.googleapis.com/retake.test.e2e.v1.StepsRequest", text: "by grpcurl" };
    const request = JSON.stringify({ workflow: `${WorkloadService.typeName}/Steps`, message: input });
    const [started] = messages(await grpcurl("-d", request, target, "retake.v1.RunService/StartRun"));
    const runId = (started as { run: { runId: string } } | undefined)?.run.runId ?? "";
    const watched = messages(
      await grpcurl("-d", JSON.stringify({ runId, view: "RUN_VIEW_FULL" }), target, "retake.v1.RunService/WatchRun"),
    ).flatMap((message) => message["event"] ?? []) as Record<string, unknown>[];
    expect(watched.map(({ sequence }) => sequence)).toEqual(["1", "2", "3", "4", "5", "6"]);
    // Inputs and results of any type are readable, because reflection knows their types.
    expect(watched[0]).toMatchObject({ accepted: { input: { value: input } } });
    expect(watched.at(-1)).toMatchObject({ succeeded: { result: { value: { text: "by grpcurl" } } } });

    const held = JSON.stringify({ workflow: `${WorkloadService.typeName}/Held`, json: '{"gate":"never"}' });
    const [open] = messages(await grpcurl("-d", held, target, "retake.v1.RunService/StartRun"));
    const unwanted = JSON.stringify({ runId: (open as { run: { runId: string } } | undefined)?.run.runId });
    await grpcurl("-d", unwanted, target, "retake.v1.RunService/CancelRun");
    const cancelled = messages(await grpcurl("-d", unwanted, target, "retake.v1.RunService/WatchRun"));
    expect(cancelled.findLast(({ event }) => event !== undefined)).toMatchObject({ event: { cancelled: {} } });

    const bad = grpcurl("-d", '{"lines":-1}', target, `${WorkloadService.typeName}/Stream`);
    await expect(bad).rejects.toThrow(/InvalidArgument.*google\.rpc\.BadRequest.*"field": *"lines"/s);
  }
});

describe("stubs made of what `retake protos` writes", () => {
  const client = join(import.meta.dirname, "fixtures/stub_client.py");

  it("serve a Python program, a browser's client and curl, directly and through nginx", async (context) => {
    const python = await requirePythonWithGrpc(context, ["grpc_tools"]);
    const program = requireTool("nginx", context);
    const stubs = join(site.root, "python");
    await makePythonStubs(python, join(site.root, "protos-of-python"), stubs);
    const direct = await run(python, [client, target, stubs], { timeout: 60_000 });
    expectForeignReport(JSON.parse(direct.stdout), "by stubs");

    await using nginx = await startNginx(program, site);
    const address = `localhost:${nginx.grpcPort}`;
    const proxied = await run(python, [client, address, stubs, nginx.caFile], { timeout: 60_000 });
    expectForeignReport(JSON.parse(proxied.stdout), "by stubs");
    const baseUrl = `https://localhost:${nginx.webPort}`;
    const body = ["--header", "content-type: application/json", "--data", '{"text":"by nginx"}'];
    const web = `${baseUrl}/${WorkloadService.typeName}/Single`;
    const curl = requireTool("curl", context);
    const { stdout } = await run(curl, ["--silent", "--max-time", "60", "--cacert", nginx.caFile, ...body, web]);
    expect(JSON.parse(stdout)).toMatchObject({ text: "by nginx" });
    // It cancels while it watches: that hangs when streams are held back.
    const ca = await readFile(nginx.caFile);
    const transport = createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions: { ca } });
    expectForeignReport(await callAll(transport), "by a page");
  });

  it("serve a Go program, directly and through nginx", async (context) => {
    const program = await requireGoClient(context, join(site.root, "go"));
    const direct = await run(program, [target], { timeout: 60_000 });
    expectForeignReport(JSON.parse(direct.stdout), "by Go");
    await using nginx = await startNginx(requireTool("nginx", context), site);
    const proxied = await run(program, [`localhost:${nginx.grpcPort}`, nginx.caFile], { timeout: 60_000 });
    expectForeignReport(JSON.parse(proxied.stdout), "by Go");
  });
});
