import { writeFileSync } from "node:fs";
import type { FileRegistry } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { parseConfig } from "../../src/config/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createServer } from "../../src/server/index.ts";
import { createGrpcTransport } from "../../src/transport/index.ts";
import { everyoneIsAdmin } from "../everyone-is-admin.ts";
import { compileFilm, contractFile, filmClient, startFilmBackend } from "./contract-files.ts";
import { deferred, rejection } from "./harness.ts";
import { fetchWeb, recordingLogger } from "./listening-server.ts";

const render = "film.v1.FilmService/Render";

const messages = {
  same: `
  message RenderRequest { string scene = 1 [(buf.validate.field).string.max_len = 20]; int32 steps = 2; }
  message RenderResponse { string film = 1; repeated string notes = 2; }`,
  changed: `
  message RenderRequest { int64 scene = 1; int32 steps = 2; }
  message RenderResponse { string film = 1; repeated string notes = 2; }`,
};

const bodies = {
  plain: `rpc Render(RenderRequest) returns (RenderResponse); } ${messages.same}`,
  old: `rpc Render(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = {}; } } ${messages.same}`,
  more: `
    rpc Render(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = { timeout: { seconds: 60 } }; }
    rpc Cut(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = {}; } } ${messages.same}`,
  cut: `rpc Cut(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = {}; } } ${messages.same}`,
  changed: `rpc Render(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = {}; } } ${messages.changed}`,
  bad: `rpc Render(stream RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = {}; } } ${messages.same}`,
  less: `rpc Render(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = {}; } }
    ${messages.same.replace(" repeated string notes = 2;", "")}`,
  none: `rpc Render(RenderRequest) returns (RenderResponse); } ${messages.same}`,
} as const;

const contracts = {} as Record<keyof typeof bodies, FileRegistry>;

beforeAll(async () => {
  for (const [name, body] of Object.entries(bodies)) {
    contracts[name as keyof typeof bodies] = await compileFilm(body);
  }
}, 60_000);

type Workflows = Record<string, object>;

/** A server whose contracts are a file, in front of a back-end. */
async function startGateway(
  contract: FileRegistry,
  targets: readonly string[],
  workflows: Workflows = {},
  slots?: number,
) {
  const file = contractFile();
  file.write(contract);
  const log = recordingLogger();
  const config = (others: object = {}) => ({
    grpc: { port: 0 },
    web: { port: 0 },
    security: everyoneIsAdmin,
    contracts: [file.path],
    workflows,
    backends: [
      {
        service: "film.v1.FilmService",
        endpoints: targets.map((target) => ({ target, ...(slots !== undefined && { slots }) })),
      },
    ],
    ...others,
  });
  const server = createServer(config(), { openStorage: (_, clock) => createMemoryStorage({ clock }), log });
  await server.listen();
  const port = server.grpc?.port ?? 0;
  const grpc = createGrpcTransport({ target: `127.0.0.1:${port}` });
  onTestFinished(async () => {
    grpc.close();
    await server.close({ drainTimeoutMs: 0 });
  });
  const runs = createClient(RunService, grpc);
  return {
    server,
    file,
    config,
    port,
    webPort: server.web?.port ?? 0,
    grpc,
    runs,
    log: log.entries,
    stateOf: async (runId: string) => (await runs.getRun({ runId })).run?.state,
    start: async (json: string) =>
      (await runs.startRun({ workflow: render, input: { case: "json", value: json } })).run?.runId ?? "",
  };
}

const echo = ({ scene }: Record<string, unknown>) => ({ film: `film of ${scene}` });

describe("a server whose contracts are a descriptor set", () => {
  it("serves them on both ports, by reflection and as runs, and validates by their rules", async () => {
    const backend = await startFilmBackend(contracts.old, echo);
    const gateway = await startGateway(contracts.old, [backend.target]);
    const call = filmClient(gateway.port, contracts.old);
    expect((await call("Render", { scene: "sunset" }))["film"]).toBe("film of sunset");
    await rejection(call("Render", { scene: "x".repeat(21) }), Code.InvalidArgument);

    const web = await fetchWeb(gateway.webPort, `/${render}`, {
      headers: { "content-type": "application/json" },
      body: '{"scene":"dawn"}',
    });
    expect(web.json).toEqual({ film: "film of dawn" });
    const refused = await fetchWeb(gateway.webPort, `/${render}`, {
      headers: { "content-type": "application/json" },
      body: `{"scene":"${"x".repeat(21)}"}`,
    });
    expect(refused.status).toBe(400);

    const runId = await gateway.start('{"scene":"noon"}');
    await expect.poll(() => gateway.stateOf(runId)).toBe(RunState.SUCCEEDED);
    expect((await gateway.runs.listWorkflows({})).workflows.map(({ workflow }) => workflow)).toEqual([render]);
    expect(await reflectedServices(gateway)).toEqual(
      expect.arrayContaining(["film.v1.FilmService", RunService.typeName, ArtifactService.typeName]),
    );
  });

  it("makes workflows of methods that carry no option", async () => {
    const backend = await startFilmBackend(contracts.plain, echo);
    const gateway = await startGateway(contracts.plain, [backend.target], { [render]: { timeout: { seconds: 5n } } });
    expect((await filmClient(gateway.port, contracts.plain)("Render", { scene: "sunset" }))["film"]).toBe(
      "film of sunset",
    );
  });
});

async function reflectedServices({ grpc }: Awaited<ReturnType<typeof startGateway>>): Promise<string[]> {
  async function* asked() {
    yield { messageRequest: { case: "listServices" as const, value: "" } };
  }
  for await (const { messageResponse } of createClient(ServerReflection, grpc).serverReflectionInfo(asked())) {
    if (messageResponse.case === "listServicesResponse") return messageResponse.value.service.map(({ name }) => name);
  }
  return [];
}

describe("a server that reads its contracts anew", () => {
  it("serves what is new and no more what is gone, on both ports, and says what has changed", async () => {
    const backend = await startFilmBackend(contracts.more, echo);
    const gateway = await startGateway(contracts.old, [backend.target]);
    const call = filmClient(gateway.port, contracts.more);
    await rejection(call("Cut", {}), Code.Unimplemented);

    gateway.file.write(contracts.more);
    await gateway.server.reload();
    expect((await call("Cut", { scene: "a" }))["film"]).toBe("film of a");
    expect((await call("Render", { scene: "b" }))["film"]).toBe("film of b");
    expect(gateway.log.at(-1)).toMatchObject({
      level: "info",
      message: "the contracts have been read anew",
      fields: { added: ["film.v1.FilmService/Cut"], removed: [], contractChanged: [render], policyChanged: [render] },
    });
    const web = await fetchWeb(gateway.webPort, "/film.v1.FilmService/Cut", {
      headers: { "content-type": "application/json" },
      body: '{"scene":"dawn"}',
    });
    expect(web.json).toEqual({ film: "film of dawn" });

    gateway.file.write(contracts.cut);
    await gateway.server.reload();
    await rejection(call("Render", {}), Code.Unimplemented);
    expect((await call("Cut", { scene: "a" }))["film"]).toBe("film of a");
    const gone = await fetchWeb(gateway.webPort, `/${render}`, {
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    // Connect has no other way to say that a method is not implemented.
    expect([404, 501]).toContain(gone.status);
    expect(gateway.log.at(-1)?.fields).toMatchObject({ removed: [render], unchanged: 0 });
  });

  it("refuses what cannot be served, with its problems, and goes on with what it had", async () => {
    const backend = await startFilmBackend(contracts.old, echo);
    const gateway = await startGateway(contracts.old, [backend.target]);
    const call = filmClient(gateway.port, contracts.old);
    for (const [change, problem] of [
      [() => gateway.file.write(contracts.bad), /streams its requests/],
      [() => gateway.file.write(contracts.none), /workflows:\n {4}film\.v1\.FilmService\/Render: \{\}/],
      [() => writeFileSync(gateway.file.path, "no descriptor set"), /is no descriptor set/],
      [() => writeFileSync(gateway.file.path, ""), /is empty/],
    ] as const) {
      change();
      await expect(gateway.server.reload()).rejects.toThrow(problem);
      expect(gateway.log.at(-1)).toMatchObject({
        level: "error",
        message: "the contracts cannot be read anew: those from before go on being served",
      });
      expect(gateway.log.at(-1)?.fields["err"]).toMatchObject({ message: expect.stringMatching(problem) });
      expect((await call("Render", { scene: "x" }))["film"]).toBe("film of x");
    }
    expect((await gateway.runs.listWorkflows({})).workflows).toHaveLength(1);
    gateway.file.write(contracts.more);
    await gateway.server.reload();
    expect((await gateway.runs.listWorkflows({})).workflows).toHaveLength(2);
  });

  it("tells by the log what is wrong with a file, also what is found once it has been read, with the line", async () => {
    const backend = await startFilmBackend(contracts.old, echo);
    const gateway = await startGateway(contracts.old, [backend.target]);
    const yaml = (name: string, expression: string) =>
      [
        `contracts: [${gateway.file.path}]`,
        `backends: [{ service: film.v1.FilmService, endpoints: [{ target: "${backend.target}" }] }]`,
        "monitoring:",
        "  rules:",
        `    - { ${name}: Deep, queries: { depth: { metric: depth } }, expression: ${expression}, warning: { at: 1 } }`,
      ].join("\n");
    for (const [name, expression, problem] of [
      ["nam", "depth", /^gateway\.yaml:5:9: .*unknown key "nam"/],
      ["name", "depth +", /^gateway\.yaml:5:7: monitoring\.rules\[0\]: the rule Deep: /],
    ] as const) {
      const reloaded = gateway.server.reload(() => parseConfig(yaml(name, expression), "gateway.yaml"));
      await expect(reloaded).rejects.toThrow(problem);
      expect(gateway.log.at(-1)).toMatchObject({
        level: "error",
        fields: { err: { message: expect.stringMatching(problem) } },
      });
    }
    await gateway.server.reload(() => parseConfig(yaml("name", "depth"), "gateway.yaml"));
    expect(gateway.log.at(-1)).toMatchObject({ level: "info", message: "the contracts have been read anew" });
  });

  it("lets attempts end, parks what no longer fits, and takes it up again when it fits", async () => {
    const working = deferred();
    const release = deferred();
    const backend = await startFilmBackend(contracts.old, async ({ scene }) => {
      working.resolve();
      if (scene === "slow") await release.promise;
      return { film: `film of ${scene}` };
    });
    const gateway = await startGateway(contracts.old, [backend.target], {}, 1);
    const attached = filmClient(gateway.port, contracts.old)("Render", { scene: "slow" });
    await working.promise;
    const queued = await gateway.start('{"scene":"next"}');
    await expect.poll(async () => (await gateway.runs.getRun({ runId: queued })).run?.wait?.reason).toMatch(/no slot/);

    gateway.file.write(contracts.changed);
    await gateway.server.reload();
    await expect.poll(() => gateway.stateOf(queued)).toBe(RunState.PARKED);
    const { run } = await gateway.runs.getRun({ runId: queued });
    expect(run?.wait?.reason).toMatch(/^CONTRACT_CHANGED: .*scene/);
    expect(gateway.log.filter(({ fields }) => fields["run_id"] === queued)).not.toEqual([]);
    release.resolve();
    expect((await attached)["film"]).toBe("film of slow");

    gateway.file.write(contracts.more);
    await gateway.server.reload();
    await expect.poll(() => gateway.stateOf(queued)).toBe(RunState.SUCCEEDED);
  });

  it("keeps each contract that it has had, for the runs that were accepted under it", async () => {
    const gateway = await startGateway(contracts.old, ["dns:///127.0.0.1:1"]);
    gateway.file.write(contracts.more);
    await gateway.server.reload();
    const runId = await gateway.start('{"scene":"a"}');
    gateway.file.write(contracts.old);
    await gateway.server.reload();
    await expect.poll(async () => (await gateway.runs.getRun({ runId })).run?.wait?.reason).toMatch(/not healthy/);
    expect(await gateway.stateOf(runId)).toBe(RunState.QUEUED);
  });

  it("answers a call that waited by the contract that it came with", async () => {
    const working = deferred();
    const release = deferred();
    const backend = await startFilmBackend(contracts.old, async ({ scene }) => {
      working.resolve();
      if (scene === "slow") await release.promise;
      return { film: `film of ${scene}`, notes: ["a", "b"] };
    });
    const gateway = await startGateway(contracts.old, [backend.target], {}, 1);
    const call = filmClient(gateway.port, contracts.old);
    const slow = call("Render", { scene: "slow" });
    await working.promise;
    const waiting = call("Render", { scene: "next" });
    await expect.poll(async () => (await gateway.runs.listRuns({ states: [RunState.QUEUED] })).runs.length).toBe(1);
    gateway.file.write(contracts.less);
    await gateway.server.reload();
    release.resolve();
    expect(await slow).toMatchObject({ film: "film of slow", notes: ["a", "b"] });
    // What the contract of today does not know is kept as it came.
    expect(await waiting).toMatchObject({ film: "film of next", notes: ["a", "b"] });
  });

  it("takes over workflows and endpoints of the configuration, and names what needs a restart", async () => {
    const backend = await startFilmBackend(contracts.old, echo);
    const gateway = await startGateway(contracts.old, ["dns:///127.0.0.1:1"]);
    const runId = await gateway.start('{"scene":"a"}');
    await expect.poll(async () => (await gateway.runs.getRun({ runId })).run?.wait?.reason).toMatch(/not healthy/);
    await gateway.server.reload(
      gateway.config({
        workflows: { [render]: { timeout: { seconds: 77n } } },
        backends: [{ service: "film.v1.FilmService", endpoints: [{ target: backend.target }] }],
        concurrencyLimit: 5,
      }),
    );
    await expect.poll(() => gateway.stateOf(runId)).toBe(RunState.SUCCEEDED);
    const [workflow] = (await gateway.runs.listWorkflows({})).workflows;
    expect(workflow?.policy?.timeout?.seconds).toBe(77n);
    expect(workflow?.endpoints).toEqual([backend.target]);
    expect(gateway.log.map(({ fields }) => fields["keys"]).filter((keys) => keys !== undefined)).toEqual([
      ["concurrency_limit"],
    ]);
    // By the configuration that it has now.
    await gateway.server.reload();
    expect((await gateway.runs.listWorkflows({})).workflows[0]?.policy?.timeout?.seconds).toBe(77n);
  });

  it("refuses ends that nobody would sign", async () => {
    const backend = await startFilmBackend(contracts.old, echo);
    const gateway = await startGateway(contracts.old, [backend.target]);
    const workflows = { [render]: { notify: { url: "https://hooks.example/retake" } } };
    await expect(gateway.server.reload(gateway.config({ workflows }))).rejects.toThrow(/nothing signs that/);
    expect((await gateway.runs.listWorkflows({})).workflows[0]?.policy?.notify).toBeUndefined();
  });

  it("keeps what is overridden at run time, and says so while it does not fit", async () => {
    const backend = await startFilmBackend(contracts.more, echo);
    const gateway = await startGateway(contracts.more, [backend.target]);
    const admin = createClient(AdminService, gateway.grpc);
    const cut = "film.v1.FilmService/Cut";
    await admin.setPolicyOverride({ workflow: render, policy: { concurrency: { limit: 2 }, fallbacks: [cut] } });
    const shown = async () => (await admin.listPolicyOverrides({ workflow: render })).overrides[0];

    gateway.file.write(contracts.old);
    await gateway.server.reload();
    const unfit = await shown();
    expect(unfit?.problems).toEqual([expect.stringContaining(`fallbacks[0]: no contract has "${cut}"`)]);
    expect(unfit?.effectivePolicy?.concurrency).toBeUndefined();
    expect(gateway.log.filter(({ level }) => level === "warn").map(({ fields }) => fields["workflow"])).toEqual([
      render,
    ]);
    expect((await filmClient(gateway.port, contracts.old)("Render", { scene: "a" }))["film"]).toBe("film of a");

    gateway.file.write(contracts.more);
    await gateway.server.reload();
    expect(await shown()).toMatchObject({ problems: [], effectivePolicy: { concurrency: { limit: 2 } } });
    await gateway.server.reload();
    expect(gateway.log.at(-1)?.fields).toMatchObject({ policyChanged: [], unchanged: 2 });

    gateway.file.write(contracts.cut);
    await gateway.server.reload();
    const gone = await shown();
    expect(gone).toMatchObject({ problems: [expect.stringContaining("no contract has this workflow")] });
    expect(gone?.effectivePolicy).toBeUndefined();
    await admin.deletePolicyOverride({ workflow: render });
  });

  it("keeps a workflow paused, and its runs parked", async () => {
    const backend = await startFilmBackend(contracts.old, echo);
    const gateway = await startGateway(contracts.old, [backend.target]);
    await gateway.runs.pauseWorkflow({ workflow: render, reason: "the studio moves" });
    const runId = await gateway.start('{"scene":"a"}');
    await expect.poll(() => gateway.stateOf(runId)).toBe(RunState.PARKED);
    gateway.file.write(contracts.more);
    await gateway.server.reload();
    const later = await gateway.start('{"scene":"b"}');
    await expect.poll(() => gateway.stateOf(later)).toBe(RunState.PARKED);
    expect((await gateway.runs.getRun({ runId })).run?.wait?.reason).toMatch(/is paused by .*: the studio moves/);
    await gateway.runs.resumeWorkflow({ workflow: render });
    for (const each of [runId, later]) await expect.poll(() => gateway.stateOf(each)).toBe(RunState.SUCCEEDED);
  });

  it("refuses no call while it does so", async () => {
    const backend = await startFilmBackend(contracts.more, echo);
    const gateway = await startGateway(contracts.old, [backend.target]);
    const call = filmClient(gateway.port, contracts.old);
    let over = false;
    let answered = 0;
    const callers = Array.from({ length: 4 }, async () => {
      while (!over) {
        expect((await call("Render", { scene: "x" }))["film"]).toBe("film of x");
        answered += 1;
      }
    });
    for (let round = 0; round < 6; round++) {
      gateway.file.write(round % 2 === 0 ? contracts.more : contracts.old);
      await gateway.server.reload();
      const before = answered;
      await expect.poll(() => answered).toBeGreaterThan(before);
    }
    over = true;
    await Promise.all(callers);
  });

  it("tells the health of the services that it has, and no others", async () => {
    const backend = await startFilmBackend(contracts.old, echo);
    const gateway = await startGateway(contracts.old, [backend.target]);
    const health = createClient(Health, gateway.grpc);
    expect((await health.check({ service: "film.v1.FilmService" })).status).toBe(ServingStatus.SERVING);
    gateway.file.write(await compileFilm(bodies.old.replaceAll("Render", "Paint")));
    await gateway.server.reload();
    expect((await health.check({ service: "film.v1.FilmService" })).status).toBe(ServingStatus.SERVING);
    expect((await health.list({})).statuses).toHaveProperty(["retake.v1.RunService"]);
  });

  it("does so only while it listens", async () => {
    const server = createServer({}, { openStorage: (_, clock) => createMemoryStorage({ clock }) });
    await expect(server.reload()).rejects.toThrow("while it listens");
  });
});
