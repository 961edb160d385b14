import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { ArtifactService } from "../../../gen/retake/v1/artifact_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { RunService, RunView } from "../../../gen/retake/v1/run_service_pb.js";
import { call, type WorkflowContext } from "../../../src/index.ts";
import { AccessService } from "../../gen/retake/test/v1/access_pb.js";
import { rejection } from "../harness.ts";
import { fetchWeb } from "../listening-server.ts";
import { type AccessServer, callers, startAccessServer, workflow } from "./access-server.ts";
import { asApiKey, type Caller, transportTo } from "./callers.ts";

let running: AccessServer;
let held = Promise.withResolvers<void>();
const transports: { close(): void }[] = [];

beforeAll(async () => {
  const work = async ({ text = "", fileId = "" }: { text?: string; fileId?: string }, context: WorkflowContext) => {
    if (text === "wait") await Promise.race([held.promise, aborted(context.signal)]);
    if (text === "guarded child") return { text: (await call(context, "child", AccessService.method.admin, {})).text };
    if (text === "child with file") {
      await call(context, "child", AccessService.method.authenticated, { file: { artifactId: fileId } });
      return { text: "done" };
    }
    if (fileId !== "") return { text: String((await (await context.artifacts.open(fileId)).bytes()).length) };
    return { text: text.toUpperCase() };
  };
  const conditional = (_: object, context: WorkflowContext) => aborted(context.signal);
  const one = { [workflow("Conditional")]: { concurrency: { limit: 1 } } };
  running = await startAccessServer({ workflows: one }, { public: work, authenticated: () => ({}), conditional });
});
afterAll(async () => {
  held.resolve();
  for (const transport of transports) transport.close();
  await running.server.close({ drainTimeoutMs: 0 });
});

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}

/** What somebody calls with; without credentials by default. */
function as(caller?: Caller | { readonly "x-api-key": string }) {
  const shown = caller === undefined || "x-api-key" in caller ? caller : asApiKey(caller);
  const transport = transportTo(running.server, "gRPC", shown ?? {});
  transports.push(transport);
  return {
    runs: createClient(RunService, transport),
    files: createClient(ArtifactService, transport),
    workflows: createClient(AccessService, transport),
  };
}

type Clients = ReturnType<typeof as>;

const start = async ({ runs }: Clients, text = "", name = "Public", idempotencyKey = "") => {
  const { run } = await runs.startRun({
    workflow: workflow(name),
    input: { case: "json", value: name === "Public" ? JSON.stringify({ text }) : "{}" },
    idempotencyKey,
  });
  return run?.runId ?? "";
};

const upload = async ({ files }: Clients, content: string, uploadId = "") => {
  const parts = (async function* () {
    yield { part: { case: "start" as const, value: { name: "a.txt", uploadId } } };
    yield { part: { case: "chunk" as const, value: Buffer.from(content) } };
  })();
  return (await files.uploadArtifact(parts)).artifact?.artifactId ?? "";
};

async function first<T>(stream: AsyncIterable<T>): Promise<T | undefined> {
  for await (const each of stream) return each;
  return undefined;
}

const ended = async ({ runs }: Clients, runId: string) => {
  for await (const _ of runs.watchRun({ runId }));
};

/** As others see it, with the id taken out: nothing else may differ. */
const shape = (error: ConnectError, id: string) =>
  JSON.stringify([error.code, error.rawMessage, error.details]).replaceAll(id, "ID");

const unknownRunId = "00000000-0000-7000-8000-000000000000";
const unknownFileId = "0".repeat(32);

describe("a run of somebody else's", () => {
  const others = [
    ["somebody of the same tenant", callers.bob],
    ["the same subject of another tenant", callers.stranger],
    ["a lead of another tenant", callers.otherLead],
    ["nobody in particular", undefined],
  ] as const;

  it.each(others)("is as unknown to %s as one that does not exist, in every RPC", async (_, caller) => {
    const runId = await start(as(callers.alice));
    await ended(as(callers.alice), runId);
    const { runs } = as(caller);
    const asks: readonly ((runId: string) => Promise<unknown>)[] = [
      (id) => runs.getRun({ runId: id }),
      (id) => runs.cancelRun({ runId: id }),
      (id) => runs.rerunRun({ runId: id }),
      (id) => first(runs.watchRun({ runId: id })),
    ];
    for (const ask of asks) {
      const error = await rejection(ask(runId), Code.NotFound);
      expect(shape(error, runId)).toBe(shape(await rejection(ask(unknownRunId), Code.NotFound), unknownRunId));
    }
  });

  it.each(others.slice(0, 3))("is in no list of %s, whatever they ask for", async (_, caller) => {
    const runId = await start(as(callers.alice), "", "Public", "the-key");
    const { runs } = as(caller);
    const ids = async (request: object) => (await runs.listRuns(request)).runs.map((run) => run.runId);
    expect(await ids({})).not.toContain(runId);
    expect(await ids({ workflow: workflow("Public") })).not.toContain(runId);
    expect(await ids({ owner: { tenant: "default", subject: "alice" } })).toEqual([]);
    expect(await ids({ workflow: workflow("Public"), owner: { subject: "alice" }, idempotencyKey: "the-key" })).toEqual(
      [],
    );
  });

  it("is not touched by what others do to all that match", async () => {
    const mine = await start(as(callers.bob), "wait");
    const theirs = await start(as(callers.alice), "wait");
    const { runs } = as(callers.bob);
    const cancelled = await runs.cancelRuns({ filter: { workflow: workflow("Public") }, force: true });
    expect(cancelled.sample.map((run) => run.runId)).toEqual([mine]);
    expect((await as(callers.alice).runs.getRun({ runId: theirs })).run?.state).toBe(RunState.RUNNING);
    await ended(as(callers.bob), mine);
    const filter = { owner: { tenant: "default", subject: "alice" } };
    expect(await runs.cancelRuns({ filter, force: true })).toMatchObject({ matched: 0, cancelled: 0 });
    expect(await runs.rerunRuns({ filter, force: true, batch: "b" })).toMatchObject({ matched: 0, started: 0 });
    const rerun = await runs.rerunRuns({ filter: { workflow: workflow("Public") }, force: true, batch: "c" });
    expect(rerun.sample.map((run) => run.runId)).toContain(mine);
    expect(rerun.sample.every((run) => run.owner?.subject === "bob")).toBe(true);
    await as(callers.alice).runs.cancelRun({ runId: theirs });
  });

  it("is counted, and not named, among those that another run waits for", async () => {
    const theirs = await start(as(), "", "Conditional");
    const mine = await start(as(callers.alice), "", "Conditional");
    const wait = async (caller: Caller) =>
      (await as(caller).runs.getRun({ runId: mine, view: RunView.FULL })).run?.wait;
    expect(await wait(callers.alice)).toMatchObject({ holderCount: 1, holders: [] });
    expect(await wait(callers.admin)).toMatchObject({ holderCount: 1, holders: [theirs] });
    for (const runId of [mine, theirs]) await as(callers.admin).runs.cancelRun({ runId });
  });

  it("is another one under the same key", async () => {
    const of = (caller: Caller) => start(as(caller), "", "Public", "one key");
    expect(await of(callers.alice)).toBe(await of(callers.alice));
    expect(await of(callers.bob)).not.toBe(await of(callers.alice));
    expect(await of(callers.stranger)).not.toBe(await of(callers.alice));
  });
});

describe("those who see more", () => {
  it("are PRIVILEGED callers in their tenant, and ADMIN everywhere", async () => {
    const own = await start(as(callers.alice));
    const foreign = await start(as(callers.stranger));
    const seen = async (caller: Caller) => {
      const ids: string[] = [];
      for (let pageToken = ""; ; ) {
        const page = await as(caller).runs.listRuns({ pageSize: 3, pageToken });
        ids.push(...page.runs.map(({ runId }) => runId));
        pageToken = page.nextPageToken;
        if (pageToken === "") return ids;
      }
    };
    const lead = await seen(callers.lead);
    expect(lead).toContain(own);
    expect(lead).not.toContain(foreign);
    expect(new Set(lead).size).toBe(lead.length);
    expect(await seen(callers.otherLead)).toContain(foreign);
    expect(await seen(callers.otherLead)).not.toContain(own);
    expect(await seen(callers.admin)).toEqual(expect.arrayContaining([own, foreign]));
    expect((await as(callers.lead).runs.getRun({ runId: own })).run?.runId).toBe(own);
    await rejection(as(callers.lead).runs.getRun({ runId: foreign }), Code.NotFound);
    expect((await as(callers.admin).runs.getRun({ runId: foreign })).run?.runId).toBe(foreign);
  });

  it("own what they rerun, and may not rerun what they may not call", async () => {
    const runId = await start(as(callers.alice));
    await ended(as(callers.alice), runId);
    const { run } = await as(callers.lead).runs.rerunRun({ runId });
    expect(run).toMatchObject({ rerunOf: runId, owner: { tenant: "default", subject: "lead" } });
    const guarded = await start(as(callers.admin), "", "Admin");
    await ended(as(callers.admin), guarded);
    const error = await rejection(as(callers.lead).runs.rerunRun({ runId: guarded }), Code.PermissionDenied);
    expect(error.rawMessage).toContain("needs the level ADMIN; you are PRIVILEGED as default/lead");
    const bulk = await as(callers.lead).runs.rerunRuns({
      filter: { workflow: workflow("Admin"), states: [RunState.SUCCEEDED] },
      force: true,
      batch: "lead",
    });
    expect(bulk.refusals).toMatchObject([{ runId: guarded, failure: { reason: "LEVEL_TOO_LOW" } }]);
  });
});

describe("callers without credentials", () => {
  it("know their runs by id, and cannot list any", async () => {
    const runId = await start(as());
    expect((await as().runs.getRun({ runId })).run?.owner).toMatchObject({ subject: "anonymous" });
    await rejection(as().runs.listRuns({}), Code.Unauthenticated);
    await rejection(as().runs.cancelRuns({ filter: { workflow: workflow("Public") } }), Code.Unauthenticated);
    await rejection(as().files.listArtifacts({}), Code.Unauthenticated);
    await rejection(as(callers.alice).runs.getRun({ runId }), Code.NotFound);
  });

  it("call PUBLIC workflows without a key, and with a UUID for one", async () => {
    expect(await as().workflows.public({ text: "a" })).toMatchObject({ text: "A" });
    const requestId = crypto.randomUUID();
    expect(await as().workflows.public({ text: "a", requestId })).toMatchObject({ text: "A" });
    const headers = { "idempotency-key": "guessable" };
    const inMetadata = await rejection(as().workflows.public({ text: "a" }, { headers }), Code.InvalidArgument);
    expect(inMetadata.rawMessage).toContain('a random UUID, and not "guessable"');
    await rejection(as().workflows.public({ requestId: "guessable" }), Code.InvalidArgument);
    await rejection(start(as(), "", "Public", "guessable"), Code.InvalidArgument);
    const runId = await start(as());
    await ended(as(), runId);
    await rejection(as().runs.rerunRun({ runId, idempotencyKey: "guessable" }), Code.InvalidArgument);
  });

  it("are told of the workflows that they may call, and nothing of what is behind those", async () => {
    const { workflows } = await as().runs.listWorkflows({});
    expect(workflows.map((each) => each.workflow)).toEqual([
      workflow("Conditional"),
      workflow("Public"),
      workflow("Streamed"),
    ]);
    expect(workflows.every(({ policy, endpoints }) => policy === undefined && endpoints.length === 0)).toBe(true);
    const lead = await as(callers.lead).runs.listWorkflows({});
    expect(lead.workflows.find((each) => each.workflow === workflow("Privileged"))?.policy?.access).toBeDefined();
  });

  it("learn nothing of the workflows that they may not call from what they are refused", async () => {
    const begin = (name: string, json: string, caller?: Caller) =>
      as(caller).runs.startRun({ workflow: workflow(name), input: { case: "json", value: json } });
    const guessed = await rejection(begin("Admi", "{}"), Code.NotFound);
    expect(guessed.rawMessage).not.toContain(workflow("Admin"));
    expect((await rejection(begin("Publi", "{}"), Code.NotFound)).rawMessage).toContain(workflow("Public"));
    expect((await rejection(begin("Admi", "{}", callers.admin), Code.NotFound)).rawMessage).toContain(
      workflow("Admin"),
    );
    for (const json of ["{}", '{"texd":""}', "{"]) await rejection(begin("Admin", json), Code.Unauthenticated);
    expect((await rejection(begin("Public", '{"texd":""}'), Code.InvalidArgument)).rawMessage).toContain("text");
  });

  it("cannot push themselves forward", async () => {
    const call = (caller: Caller | undefined, priority: string) =>
      as(caller).workflows.public({}, { headers: { "retake-priority": priority } });
    await rejection(call(undefined, "1"), Code.Unauthenticated);
    await call(undefined, "-1");
    await call(callers.alice, "99");
    expect((await rejection(call(callers.alice, "100"), Code.PermissionDenied)).rawMessage).toContain(
      "the priority 100 needs the level ADMIN; you are AUTHENTICATED as default/alice",
    );
    await call(callers.admin, "100");
    await rejection(as(callers.lead).runs.startRun({ workflow: workflow("Public"), priority: 100 }));
  });
});

describe("an artifact of somebody else's", () => {
  it("is as unknown as one that does not exist, in every RPC, over HTTP, and as an input", async () => {
    const id = await upload(as(callers.alice), "hers");
    const bob = as(callers.bob);
    const asks: readonly ((artifactId: string) => Promise<unknown>)[] = [
      (artifactId) => bob.files.getArtifact({ artifactId }),
      (artifactId) => first(bob.files.downloadArtifact({ artifactId })),
      (artifactId) => bob.workflows.public({ file: { artifactId } }),
      (artifactId) => bob.workflows.public({ fileId: artifactId }),
    ];
    for (const ask of asks) {
      const [foreign, unknown] = [await rejection(ask(id)), await rejection(ask(unknownFileId))];
      expect(foreign.code).toBe(Code.NotFound);
      expect([foreign.code, foreign.rawMessage.replaceAll(id, "ID")]).toEqual([
        unknown.code,
        unknown.rawMessage.replaceAll(unknownFileId, "ID"),
      ]);
    }
    expect((await bob.files.listArtifacts({ owner: { subject: "alice" } })).artifacts).toEqual([]);
    expect((await bob.files.listArtifacts({})).artifacts).toEqual([]);
    const get = (caller?: Caller) =>
      fetchWeb(running.server.web?.port ?? 0, `/artifacts/${id}`, {
        method: "GET",
        headers: caller === undefined ? {} : asApiKey(caller),
      });
    expect((await get(callers.bob)).status).toBe(404);
    expect((await get()).status).toBe(404);
    expect((await get(callers.otherLead)).status).toBe(404);
    expect((await get(callers.alice)).body.toString()).toBe("hers");
    expect((await get(callers.lead)).body.toString()).toBe("hers");
  });

  it("is one's tenant's for PRIVILEGED callers, who may use it", async () => {
    const id = await upload(as(callers.alice), "of the tenant");
    const lead = as(callers.lead);
    expect((await lead.files.listArtifacts({})).artifacts.map(({ artifactId }) => artifactId)).toContain(id);
    expect((await lead.workflows.public({ file: { artifactId: id }, fileId: id })).text).toBe("13");
    await rejection(as(callers.otherLead).workflows.public({ file: { artifactId: id } }), Code.NotFound);
    expect((await as(callers.otherLead).files.listArtifacts({})).artifacts).toEqual([]);
  });

  it("cannot be continued, nor its upload be seen", async () => {
    await upload(as(callers.alice), "begun", "draft");
    await rejection(as(callers.bob).files.getUpload({ uploadId: "draft" }), Code.NotFound);
    expect((await as(callers.alice).files.getUpload({ uploadId: "draft" })).offset).toBe(5n);
  });
});

describe("children", () => {
  it("run by the right of whoever called their parent", async () => {
    expect(await as().workflows.public({ text: "guarded child" })).toMatchObject({ text: "done" });
  });

  it("use what their parent keeps, and nothing else of others", async () => {
    const artifactId = await upload(as(callers.alice), "for a child");
    const { workflows } = as(callers.lead);
    const withFile = { text: "child with file", fileId: artifactId, file: { artifactId } };
    expect((await workflows.public(withFile)).text).toBe("done");
    await rejection(workflows.public({ text: "child with file", fileId: artifactId }), Code.NotFound);
  });
});

describe("credentials that are limited to some workflows", () => {
  const limited = (...workflows: string[]): Caller => ({ ...callers.alice, workflows: workflows.map(workflow) });

  it("call, start, list and show nothing else", async () => {
    const runId = await start(as(callers.alice), "", "Authenticated");
    const publicId = await start(as(callers.alice));
    const only = as(limited("Authenticated"));
    const error = await rejection(only.workflows.public({}), Code.PermissionDenied);
    expect(error.rawMessage).toContain("is none of the workflows that your key is limited to");
    await rejection(start(only), Code.PermissionDenied);
    await only.workflows.authenticated({});
    await rejection(only.runs.getRun({ runId: publicId }), Code.NotFound);
    expect((await only.runs.getRun({ runId })).run?.runId).toBe(runId);
    const { runs } = await only.runs.listRuns({});
    expect(new Set(runs.map((run) => run.workflow))).toEqual(new Set([workflow("Authenticated")]));
    expect((await only.runs.listRuns({ workflow: workflow("Public") })).runs).toEqual([]);
    expect((await only.runs.listWorkflows({})).workflows.map((each) => each.workflow)).toEqual([
      workflow("Authenticated"),
    ]);
  });

  it("reach no artifacts of others, whatever their level, nor use them as inputs", async () => {
    const artifactId = await upload(as(callers.alice), "alice's, and nobody else's");
    const ops = as({ ...callers.admin, workflows: [workflow("Authenticated")] });
    await as(callers.admin).files.getArtifact({ artifactId });
    await rejection(ops.files.getArtifact({ artifactId }), Code.NotFound);
    await rejection(first(ops.files.downloadArtifact({ artifactId })), Code.NotFound);
    const own = await upload(ops, "its own");
    expect((await ops.files.listArtifacts({})).artifacts.map((each) => each.artifactId)).toEqual([own]);
    await rejection(ops.workflows.authenticated({ file: { artifactId } }), Code.NotFound);
    await ops.workflows.authenticated({ file: { artifactId: own } });
  });

  it("page through several workflows in order", async () => {
    const carol = { subject: "carol" };
    for (const name of ["Public", "Authenticated", "Public", "Authenticated", "Conditional"]) {
      await start(as(carol), "", name);
    }
    const client = as({ ...carol, workflows: ["Public", "Authenticated"].map(workflow) });
    const seen: string[] = [];
    for (let pageToken = ""; ; ) {
      const page = await client.runs.listRuns({ pageSize: 2, pageToken });
      seen.push(...page.runs.map((run) => run.workflow));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    expect(seen).toEqual(["Authenticated", "Public", "Authenticated", "Public"].map(workflow));
  });
});

describe("a watcher who may see its run no longer", () => {
  it("is sent nothing more", async () => {
    held = Promise.withResolvers<void>();
    const dora = { subject: "dora" };
    const runId = await start(as(dora), "wait");
    const events: (string | undefined)[] = [];
    const watching = (async () => {
      for await (const { update } of as(dora).runs.watchRun({ runId })) {
        if (update.case === "event") events.push(update.value.event.case);
        if (events.at(-1) === "attemptStarted") {
          running.revoked.add("dora");
          held.resolve();
        }
      }
    })();
    const error = await rejection(watching, Code.Unauthenticated);
    expect(error.rawMessage).toContain("it ends as if you had left");
    expect(events).toEqual(["accepted", "attemptStarted"]);
  });

  // Within 15 s an idle stream says something by itself.
  const soon = { timeout: 10_000 };
  it.each(["revoked", "rotated"])("is told so soon, though nothing happens to it: a key is %s", soon, async (how) => {
    held = Promise.withResolvers<void>();
    const admin = createClient(AdminService, running.server.transport);
    const made = await admin.createApiKey({ subject: how, level: AccessLevel.AUTHENTICATED });
    const keyId = made.apiKey?.keyId ?? "";
    const client = as({ "x-api-key": made.key });
    const runId = await start(client, "wait");
    const events: (string | undefined)[] = [];
    const watching = (async () => {
      for await (const { update } of client.runs.watchRun({ runId })) {
        if (update.case === "event") events.push(update.value.event.case);
        if (events.at(-1) !== "attemptStarted") continue;
        await (how === "revoked" ? admin.revokeApiKey({ keyId }) : admin.rotateApiKey({ keyId, overlap: {} }));
      }
    })();
    const error = await rejection(watching, Code.Unauthenticated);
    expect(error.rawMessage).toContain("it ends as if you had left");
    expect(events).toEqual(["accepted", "attemptStarted"]);
    await rejection(client.runs.getRun({ runId }), Code.Unauthenticated);
    held.resolve();
  });

  it("is told so by another code where it is the rules that have changed", soon, async () => {
    held = Promise.withResolvers<void>();
    const admin = createClient(AdminService, running.server.transport);
    await admin.setAccessRule({ name: "fay", rule: { subjects: ["fay"], level: AccessLevel.PRIVILEGED } });
    const runId = await start(as(callers.alice), "wait");
    const watching = (async () => {
      for await (const { update } of as({ subject: "fay" }).runs.watchRun({ runId })) {
        if (update.case === "event" && update.value.event.case === "attemptStarted") {
          await admin.deleteAccessRule({ name: "fay" });
        }
      }
    })();
    const error = await rejection(watching, Code.PermissionDenied);
    expect(error.rawMessage).toContain(`you may not see run ${runId} any more`);
    held.resolve();
  });
});

describe("credentials of a subject that stands for those without any", () => {
  it.each(["anonymous", "in-process"])("are refused: %s", async (subject) => {
    const error = await rejection(as({ subject }).runs.listRuns({}), Code.PermissionDenied);
    expect(error.rawMessage).toContain("stands for callers without credentials");
  });
});
