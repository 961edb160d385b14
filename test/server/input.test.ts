import { create, createRegistry, type MessageInitShape, toJsonString } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.js";
import type { ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { UnknownFields } from "../../gen/retake/v1/input_config_pb.js";
import { MonitoringService, SetAlertRuleRequestSchema } from "../../gen/retake/v1/monitoring_service_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createServer } from "../../src/server/index.ts";
import { createGrpcTransport } from "../../src/transport/index.ts";
import { everyoneIsAdmin } from "../everyone-is-admin.ts";
import { ObeyRequestSchema, RuledService } from "../gen/retake/test/v1/ruled_pb.js";
import { rejection } from "./harness.ts";
import { recordingLogger } from "./listening-server.ts";

const workflow = `${RuledService.typeName}/Obey`;

async function start(config: MessageInitShape<typeof ServerConfigSchema> = {}) {
  const server = createServer(
    {
      ...config,
      security: { ...everyoneIsAdmin, ...config.security },
      grpc: { port: 0 },
      web: { port: 0 },
    } as typeof config,
    {
      openStorage: (_, clock) => createMemoryStorage({ clock }),
      log: recordingLogger(),
    },
  ).implement(RuledService, { obey: ({ input }) => (input === undefined ? {} : { output: input }) });
  await server.listen();
  onTestFinished(() => server.close({ drainTimeoutMs: 0 }));
  const grpc = createGrpcTransport({ target: `127.0.0.1:${server.grpc?.port}` });
  onTestFinished(() => grpc.close());
  const baseUrl = `http://127.0.0.1:${server.web?.port}`;
  const registry = createRegistry(ObeyRequestSchema);
  const transports: Record<string, Transport> = {
    gRPC: grpc,
    "gRPC-Web": createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
    "Connect with JSON": createConnectTransport({ baseUrl, httpVersion: "1.1", jsonOptions: { registry } }),
    "Connect with protobuf": createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: true }),
    "in the process": server.transport,
  };
  return { server, transports, runs: createClient(RunService, server.transport) };
}

function reasonsOf(error: ConnectError): string[] {
  const found = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  return found.map(({ field, reason }) => `${field}: ${reason}`).toSorted();
}

describe("input that breaks rules", () => {
  it("is refused with every violation, on every way in, before anything is journaled", async () => {
    const { transports, runs } = await start();
    const input = { text: "<script>\0", url: "http://127.0.0.1", pixels: [{ x: Number.NaN }] };
    const message = create(ObeyRequestSchema, { input });
    const expected = [
      "input.pixels: repeated.trajectory.frame",
      "input.pixels: repeated.trajectory.points",
      "input.text: string.safe_text.control",
      "input.text: string.safe_text.element",
      "input.url: string.public_url.address",
    ];
    for (const [name, transport] of Object.entries(transports)) {
      const starting = createClient(RunService, transport);
      const direct = await rejection(createClient(RuledService, transport).obey({ input }), Code.InvalidArgument);
      expect(reasonsOf(direct), name).toEqual(expected);
      const packed = { case: "message", value: anyPack(ObeyRequestSchema, message) } as const;
      const started = await rejection(starting.startRun({ workflow, input: packed }), Code.InvalidArgument);
      expect(reasonsOf(started), name).toEqual(expected);
      const json = { case: "json", value: toJsonString(ObeyRequestSchema, message) } as const;
      const written = await rejection(starting.startRun({ workflow, input: json }), Code.InvalidArgument);
      expect(reasonsOf(written), name).toEqual(expected);
    }
    expect((await runs.listRuns({})).runs).toEqual([]);
  });

  it("is taken once it obeys", async () => {
    const { transports, runs } = await start();
    const input = { text: "港 <3", url: "https://studio.example/a.png", pixels: [{ x: 1 }, { x: 2 }] };
    for (const transport of Object.values(transports)) {
      expect((await createClient(RuledService, transport).obey({ input })).output?.text).toBe("港 <3");
    }
    expect((await runs.listRuns({})).runs).toHaveLength(5);
  });
});

/** A request whose `input` has a field 99 that nobody knows. */
function withUnknown() {
  const request = create(ObeyRequestSchema, { input: { text: "a" } });
  const field = { no: 99, wireType: 0, data: Uint8Array.of(1) };
  if (request.input !== undefined) request.input.$unknown = [field];
  return request;
}

describe("fields that the server does not know", () => {
  const config = (unknownFields: UnknownFields) => ({ security: { anonymousLevel: 4, input: { unknownFields } } });

  it.each([
    ["stay where nothing is said", UnknownFields.UNSPECIFIED, 1],
    ["stay by KEEP", UnknownFields.KEEP, 1],
    ["are left out by IGNORE", UnknownFields.IGNORE, 0],
  ])("%s", async (_, policy, kept) => {
    const { transports } = await start(config(policy));
    for (const name of ["gRPC", "gRPC-Web", "Connect with protobuf"]) {
      const transport = transports[name] as Transport;
      const { output } = await createClient(RuledService, transport).obey(withUnknown());
      expect(output?.$unknown?.length ?? 0, name).toBe(kept);
    }
  });

  it("are refused by REFUSE, on every way in, with their path", async () => {
    const { server, transports, runs } = await start(config(UnknownFields.REFUSE));
    const value = anyPack(ObeyRequestSchema, withUnknown());
    for (const name of ["gRPC", "gRPC-Web", "Connect with protobuf"]) {
      const transport = transports[name] as Transport;
      const direct = await rejection(createClient(RuledService, transport).obey(withUnknown()), Code.InvalidArgument);
      expect(reasonsOf(direct), name).toEqual(["input.99: "]);
      const starting = createClient(RunService, transport);
      const started = starting.startRun({ workflow, input: { case: "message", value } });
      expect(reasonsOf(await rejection(started, Code.InvalidArgument)), name).toEqual(["input.99: "]);
    }
    const response = await fetch(`http://127.0.0.1:${server.web?.port}/${workflow}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"input": {"text": "a", "nobodys": 1}}',
    });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("nobodys");
    expect((await runs.listRuns({})).runs).toEqual([]);
  });
});

/** Of an error in Connect's JSON. */
interface Detail {
  readonly debug: { readonly fieldViolations?: readonly object[] };
}

describe("requests of Retake's own RPCs", () => {
  const admin = { anonymousLevel: 4 };
  const post = (port: number | undefined, method: string, body: object) =>
    fetch(`http://127.0.0.1:${port}/retake.v1.${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const rule = { name: "Slow", queries: { a: { metric: "process_uptime_seconds" } }, warning: { at: 1 } };

  it.each([UnknownFields.KEEP, UnknownFields.IGNORE])(
    "are refused with a field or a name that is not known, by %o as well",
    async (unknownFields) => {
      const { server, transports } = await start({ security: { ...admin, input: { unknownFields } } });
      const matchers = [{ label: "state", value: "x", operator: "LABEL_OPERATOR_MATCHES" }];
      const wrong: [method: string, body: object, field: string | undefined, named: string][] = [
        ["MonitoringService/SetAlertRule", { rule: { ...rule, quality: {} } }, "rule", '"quality"'],
        [
          "MonitoringService/SetAlertRule",
          { rule: { ...rule, queries: { a: { metric: "process_uptime_seconds", matchers } } } },
          'rule.queries["a"].matchers[0].operator',
          "LABEL_OPERATOR_",
        ],
        ["MonitoringService/SetSilence", { silence: { matcher: [] } }, "silence", '"matcher"'],
        ["AdminService/SetPolicyOverride", { workflow, policy: { retries: {} } }, "policy", '"retries"'],
        ["RunService/CancelRuns", { filter: { workflows: workflow } }, "filter", '"workflows"'],
        ["RunService/StartRun", { workflow, json: "{}", prority: 5 }, undefined, '"prority"'],
      ];
      for (const [method, body, field, named] of wrong) {
        const response = await post(server.web?.port, method, body);
        const told = (await response.json()) as { code: string; message: string; details: Detail[] };
        expect([response.status, told.code], told.message).toEqual([400, "invalid_argument"]);
        expect(told.message).toContain(named);
        const violations = told.details.flatMap(({ debug }) => debug.fieldViolations ?? []);
        expect(violations, method).toEqual([{ ...(field && { field }), description: expect.stringContaining(named) }]);
      }
      expect((await post(server.web?.port, "MonitoringService/SetAlertRule", { rule })).status).toBe(200);

      const request = create(SetAlertRuleRequestSchema, { rule: { name: "Slow" } });
      if (request.rule) request.rule.$unknown = [{ no: 99, wireType: 0, data: Uint8Array.of(1) }];
      for (const name of ["gRPC", "gRPC-Web", "Connect with protobuf", "in the process"]) {
        const monitoring = createClient(MonitoringService, transports[name] as Transport);
        const refused = await rejection(monitoring.setAlertRule(request), Code.InvalidArgument);
        expect(reasonsOf(refused), name).toEqual(["rule.99: "]);
      }
    },
  );

  it("leave the inputs of workflows to the configuration", async () => {
    const { server } = await start({ security: { ...admin, input: { unknownFields: UnknownFields.KEEP } } });
    const response = await fetch(`http://127.0.0.1:${server.web?.port}/${workflow}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"input": {"text": "a", "nobodys": 1}}',
    });
    expect([response.status, await response.json()]).toEqual([200, { output: { text: "a" } }]);
  });
});

describe("messages that are nested too deeply", () => {
  it("are refused, the limit being the configuration's", async () => {
    const { transports } = await start({ security: { anonymousLevel: 4, input: { maxNesting: 5 } } });
    let value = Buffer.alloc(0);
    // Groups within groups, in a field that nobody knows.
    for (let depth = 0; depth < 10; depth++) value = Buffer.concat([Buffer.of(0x4b, ...value, 0x4c)]);
    const any = { typeUrl: `type.googleapis.com/${ObeyRequestSchema.typeName}`, value: Uint8Array.from(value) };
    for (const [name, transport] of Object.entries(transports)) {
      if (name === "Connect with JSON") continue;
      const started = createClient(RunService, transport).startRun({
        workflow,
        input: { case: "message", value: any },
      });
      expect((await rejection(started, Code.InvalidArgument)).rawMessage, name).toContain("recursion depth");
    }
  });
});
