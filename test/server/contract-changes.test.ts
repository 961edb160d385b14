import { create, type DescMethod, type DescService, type Message } from "@bufbuild/protobuf";
import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { beforeAll, describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { type Run, RunState } from "../../gen/retake/v1/run_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import type { Storage } from "../../src/server/index.ts";
import { createTestServer, type TestServer } from "../../src/testing/test-server.ts";
import { createVirtualClock, type VirtualClock } from "../../src/testing/virtual-clock.ts";
import { compileContracts, contractSource } from "../contract/compile-contracts.ts";
import { deferred, rejection, stopServer } from "./harness.ts";
import { recordingLogger } from "./listening-server.ts";

const render = "film.v1.FilmService/Render";

/** The contract as it was, and what becomes of it. */
const versions = {
  old: `
    rpc Render(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = { timeout: { seconds: 86400 } }; }
  }
  message RenderRequest { string scene = 1; int32 steps = 2; }
  message RenderResponse { string film = 1; }`,
  compatible: `
    // A comment, another policy, a new field in each message and a new method.
    rpc Render(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = { timeout: { seconds: 3600 } }; }
    rpc Cut(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = {}; }
  }
  message RenderRequest { string scene = 1; int32 steps = 2; string sampler = 3; }
  message RenderResponse { string film = 1; int32 frames = 2; }`,
  "without the method": `
    rpc Cut(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = {}; }
  }
  message RenderRequest { string scene = 1; int32 steps = 2; }
  message RenderResponse { string film = 1; }`,
  "with a field of another type": `
    rpc Render(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = { timeout: { seconds: 86400 } }; }
  }
  message RenderRequest { int64 scene = 1; int32 steps = 2; }
  message RenderResponse { string film = 1; }`,
  "with a result of another type": `
    rpc Render(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = { timeout: { seconds: 86400 } }; }
  }
  message RenderRequest { string scene = 1; int32 steps = 2; }
  message RenderResponse { repeated int32 film = 1; }`,
} as const;

type Version = keyof typeof versions;

const services = new Map<Version, DescService>();

beforeAll(async () => {
  await Promise.all(
    (Object.keys(versions) as Version[]).map(async (version) => {
      const source = contractSource("film.v1", `service FilmService {${versions[version]}`);
      const service = (await compileContracts({ "film/v1/film.proto": source })).getService("film.v1.FilmService");
      if (service === undefined) throw new Error("there is no service");
      services.set(version, service);
    }),
  );
}, 60_000);

/** One data directory and its time, through the lives of several servers. */
interface Life {
  readonly clock: VirtualClock;
  readonly storage: Storage;
}

function newLife(): Life {
  const clock = createVirtualClock();
  return { clock, storage: createMemoryStorage({ clock }) };
}

type Handler = (request: Message & Record<string, unknown>, context: { signal: AbortSignal }) => unknown;

async function live(life: Life, version: Version, handler: Handler = () => ({ film: "done" })) {
  const service = services.get(version) as DescService;
  const log = recordingLogger();
  const test: TestServer = createTestServer({ ...life, log });
  const names = service.methods.map(({ localName }) => [localName, handler] as const);
  test.server.implement(service, Object.fromEntries(names) as never);
  const listening = test.server.listen();
  await test.clock.advance(0);
  await listening;
  const runs = createClient(RunService, test.server.transport);
  const method = service.methods.find(({ name }) => name === "Render");
  return {
    ...test,
    runs,
    log: log.entries,
    async call(request: Record<string, unknown>, headers: Record<string, string> = {}) {
      if (method === undefined) throw new Error("there is no such method");
      const { message } = await test.server.transport.unary(
        method as DescMethod & { methodKind: "unary" },
        undefined,
        undefined,
        headers,
        create(method.input, request) as never,
      );
      return message as Message & Record<string, unknown>;
    },
    async runOf(runId: string): Promise<Run | undefined> {
      return (await runs.getRun({ runId })).run;
    },
  };
}

const reasonOf = (error: ConnectError) => error.findDetails(ErrorInfoSchema)[0]?.reason;

/** A run that the first server has begun and could not end. */
async function interruptedRun(life: Life): Promise<string> {
  // Each server draws the same random numbers: ids differ by the time.
  await life.clock.advance(1);
  const started = deferred();
  const first = await live(life, "old", async (_, { signal }) => {
    started.resolve();
    await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  });
  const { run } = await first.runs.startRun({
    workflow: render,
    input: { case: "json", value: '{"scene":"sunset","steps":20}' },
  });
  await started.promise;
  await stopServer(first);
  return run?.runId ?? "";
}

describe.each<[Version, RegExp]>([
  ["without the method", /the server has no workflow film\.v1\.FilmService\/Render any more/],
  ["with a field of another type", /scene/],
  ["with a result of another type", /film/],
])("a run whose contract is now one %s", (version, problem) => {
  it("is parked and named in the log, and the server starts; it goes on when the old contract is back", async () => {
    const life = newLife();
    const runId = await interruptedRun(life);

    const changed = await live(life, version, () => {
      throw new Error("it must not be executed");
    });
    await life.clock.advance(1000);
    const parked = await changed.runOf(runId);
    expect(parked?.state).toBe(RunState.PARKED);
    expect(parked?.wait?.gate).toBe("contract");
    expect(parked?.wait?.reason).toMatch(/^CONTRACT_CHANGED: /);
    expect(parked?.wait?.reason).toMatch(problem);
    expect(changed.log.filter(({ level, fields }) => level === "warn" && fields["run_id"] === runId)).not.toEqual([]);
    // Others are not kept from anything.
    const health = await changed.runs.listWorkflows({});
    expect(health.workflows).toHaveLength(1);
    await stopServer(changed);

    const again = await live(life, version);
    await life.clock.advance(1000);
    expect((await again.runOf(runId))?.state).toBe(RunState.PARKED);
    await stopServer(again);

    const seen: unknown[] = [];
    const back = await live(life, "old", ({ scene, steps }) => {
      seen.push(scene, steps);
      return { film: "done" };
    });
    await life.clock.advance(1000);
    expect((await back.runOf(runId))?.state).toBe(RunState.SUCCEEDED);
    expect(seen).toEqual(["sunset", 20]);
    await stopServer(back);
  });

  it("can be cancelled meanwhile, and expires at its deadline", async () => {
    const life = newLife();
    const [cancelled, forgotten] = [await interruptedRun(life), await interruptedRun(life)];
    const changed = await live(life, version);
    await life.clock.advance(1000);
    await changed.runs.cancelRun({ runId: cancelled, reason: "no longer wanted" });
    expect((await changed.runOf(cancelled))?.state).toBe(RunState.CANCELLED);
    await life.clock.advance(86_400_000);
    expect((await changed.runOf(forgotten))?.state).toBe(RunState.EXPIRED);
    await stopServer(changed);
  });
});

describe("a run whose contract has changed compatibly", () => {
  it("goes on as if nothing had happened", async () => {
    const life = newLife();
    const runId = await interruptedRun(life);
    const next = await live(life, "compatible", ({ scene, sampler }) => ({ film: `${scene}/${sampler}`, frames: 3 }));
    await life.clock.advance(1000);
    const { run } = await next.runs.getRun({ runId, view: 2 });
    expect(run?.state).toBe(RunState.SUCCEEDED);
    expect(Buffer.from(run?.result?.value?.value ?? []).toString()).toContain("sunset/");
    expect(next.log.filter(({ level }) => level === "warn" || level === "error")).toEqual([]);
    await stopServer(next);
  });
});

describe("a run that has ended under another contract", () => {
  async function endedRun(life: Life): Promise<string> {
    const first = await live(life, "old");
    const called = first.call({ scene: "sunset" }, { "idempotency-key": "k" });
    await life.clock.advance(10);
    expect(await called).toMatchObject({ film: "done" });
    const [run] = (await first.runs.listRuns({})).runs;
    await stopServer(first);
    return run?.runId ?? "";
  }

  it("is not rerun with an input that now means something else", async () => {
    const life = newLife();
    const runId = await endedRun(life);
    const changed = await live(life, "with a field of another type");
    const refused = await rejection(changed.runs.rerunRun({ runId }), Code.FailedPrecondition);
    expect(reasonOf(refused)).toBe("CONTRACT_CHANGED");
    expect(refused.rawMessage).toContain("scene");
    await stopServer(changed);
    const gone = await live(life, "without the method");
    await rejection(gone.runs.rerunRun({ runId }), Code.NotFound);
    expect((await gone.runOf(runId))?.state).toBe(RunState.SUCCEEDED);
    await stopServer(gone);
  });

  it("does not answer a call with its key by a result that now means something else", async () => {
    const life = newLife();
    await endedRun(life);
    const changed = await live(life, "with a result of another type");
    const refused = await rejection(
      changed.call({ scene: "sunset" }, { "idempotency-key": "k" }),
      Code.FailedPrecondition,
    );
    expect(reasonOf(refused)).toBe("CONTRACT_CHANGED");
    await stopServer(changed);
    const compatible = await live(life, "compatible");
    expect(await compatible.call({ scene: "sunset" }, { "idempotency-key": "k" })).toMatchObject({
      film: "done",
      frames: 0,
    });
    await stopServer(compatible);
  });
});
