import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../../../src/cli/run-cli.ts";
import { connectRetake, type RetakeClient } from "../../../src/client/index.ts";
import { WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";
import { type CliServer, retake as cli, createIo, jsonLines, startServer } from "../harness.ts";
import { createStudio } from "../studio.ts";

const { plain, streaming } = WorkflowsService.method;
const nobody = "01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88";

const studio = createStudio();
let server: CliServer;
let client: RetakeClient;
beforeAll(async () => {
  server = await startServer(studio.workflows);
  client = connectRetake({ target: server.env.RETAKE_TARGET });
});
afterAll(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
});

const retake = (...argv: string[]) => cli(argv, { env: server.env });

async function ended(text: string): Promise<string> {
  const run = await client.start(plain, { text });
  await run.result().catch(() => undefined);
  return run.id;
}

describe("retake runs list", () => {
  let succeeded = "";
  let failed = "";
  let open = "";
  beforeAll(async () => {
    succeeded = await ended("a");
    failed = await ended("fail");
    open = (await client.start(plain, { text: "hold list" })).id;
  });
  afterAll(() => studio.letGo("list"));

  const ids = (stdout: string): string[] => [...stdout.matchAll(/^[0-9a-f-]{36}/gm)].map(([id]) => id);

  it("shows runs, newest first, with what is worth knowing", async () => {
    const { exitCode, stdout, stderr } = await retake("runs", "list");
    expect(exitCode).toBe(0);
    expect(stderr).toBe("");
    expect(ids(stdout)).toEqual([open, failed, succeeded]);
    const [titles, running, failure, success] = stdout.split("\n");
    expect(titles).toMatch(/^RUN +STATE +ACCEPTED +TOOK +WORKFLOW +MORE$/);
    expect(running).toMatch(/ RUNNING .* retake\.test\.v1\.WorkflowsService\/Plain {2}attempt 1$/);
    expect(failure).toMatch(/ FAILED .* {2}FAILED_PRECONDITION: the prompt is not allowed$/);
    expect(success).toMatch(/ SUCCEEDED .* {2}ran \d/);
  });

  it.each([
    [["--state", "failed"], () => [failed]],
    [["--state", "open"], () => [open]],
    [["-s", "SUCCEEDED", "-s", "failed"], () => [failed, succeeded]],
    [["--state", "ended"], () => [failed, succeeded]],
    [["--workflow", "Plain"], () => [open, failed, succeeded]],
    [["--workflow", "Keyed"], () => []],
    [["--since", "1h"], () => [open, failed, succeeded]],
    [["--before", "1h"], () => []],
    [["--parent", nobody], () => []],
    [["--owner", "anonymous"], () => [open, failed, succeeded]],
    [["--owner", "anonymous", "--tenant", "other"], () => []],
    [["--limit", "1"], () => [open]],
    [["-n", "all"], () => [open, failed, succeeded]],
  ])("filters by %j", async (flags, expected) => {
    const { exitCode, stdout } = await retake("runs", "list", ...flags);
    expect(exitCode).toBe(0);
    expect(ids(stdout)).toEqual(expected());
  });

  it("says when nothing matches, and when there is more", async () => {
    expect((await retake("runs", "list", "--before", "1h")).stderr).toBe("No runs match.\n");
    expect((await retake("runs", "list", "--limit", "2")).stderr).toBe("There are more: --limit 10, or --limit all.\n");
    expect((await retake("runs", "list", "--limit", "3")).stderr).toBe("");
  });

  it("prints one run a line with --json", async () => {
    const { stdout } = await retake("runs", "list", "--json", "--limit", "2");
    expect(jsonLines(stdout)).toMatchObject([
      { runId: open, state: "RUN_STATE_RUNNING" },
      { runId: failed, failure: { reason: "FAILED_PRECONDITION" } },
    ]);
  });

  it("fits a narrow terminal, with ids that can still be copied", async () => {
    const { stdout } = await cli(["runs", "list"], { env: server.env, isTTY: true, columns: 105 });
    const lines = stdout.trimEnd().split("\n");
    expect(ids(stdout)).toEqual([open, failed, succeeded]);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(105);
    expect(lines[1]).toContain("…");
    expect(lines[1]).toMatch(/Service\/Plain|ice\/Plain/);
  });

  it("fits eighty columns by leaving columns out", async () => {
    const { stdout } = await cli(["runs", "list"], { env: server.env, isTTY: true, columns: 80 });
    const lines = stdout.trimEnd().split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines[0]).toMatch(/^RUN +STATE +TOOK +WORKFLOW +MORE$/);
    expect(ids(stdout)).toEqual([open, failed, succeeded]);
  });

  it("finds the run of a key", async () => {
    const run = await client.start(plain, { text: "a" }, { idempotencyKey: "list-1" });
    await run.result();
    const { stdout } = await retake("runs", "list", "--workflow", "Plain", "--key", "list-1");
    expect(ids(stdout)).toEqual([run.id]);
    const refused = await retake("runs", "list", "--key", "list-1");
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("add --workflow") });
  });

  it("can be interrupted", async () => {
    const { io, interrupt } = createIo({ env: server.env });
    interrupt();
    expect(await runCli(["runs", "list"], io)).toBe(130);
  });

  it.each([
    [["--state", "opne"], '--state: there is no "opne", only open, ended, queued'],
    [["--state", "faild"], 'Did you mean "failed"?'],
    [["--since", "tomorrow"], '--since: "tomorrow" is no time'],
    [["--limit", "0"], '--limit: "0" is no number of runs'],
    [["--limit", "many"], "--limit"],
    [["--parent", "x"], '"x" is no run id'],
    [["--tenant", "t"], "--tenant is that of --owner"],
  ])("refuses %j", async (flags, message) => {
    const { exitCode, stderr } = await retake("runs", "list", ...flags);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe("retake runs get", () => {
  it("shows a run with its input, its result and its history", async () => {
    const run = await client.start(streaming, { updates: 2 }, { idempotencyKey: "get-1", priority: 3 });
    await run.result();
    const { exitCode, stdout, stderr } = await retake("runs", "get", run.id);
    expect(exitCode).toBe(0);
    expect(stderr).toContain("1 long text cut short");
    for (const line of [
      new RegExp(`^Run +${run.id}$`, "m"),
      /^Workflow +retake\.test\.v1\.WorkflowsService\/Streaming$/m,
      /^State +SUCCEEDED$/m,
      /^Took +1 attempt, ran .*, 2 steps$/m,
      /^Accepted +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(.*\)$/m,
      /^Owner +anonymous \(tenant default\)$/m,
      /^Key +get-1$/m,
      /^Priority +3$/m,
      /^Input:\n\{\n {2}"updates": 2\n\}$/m,
      /^Result:\n\{\n {2}"result": "x{40}… \(5,000 characters\)"$/m,
      /^History:\n {2}\S+ \S+ +1 {2}accepted from anonymous, key get-1\n/m,
      / step "part-2" done after /,
      /\d+ {2}succeeded: 1 attempt/,
    ]) {
      expect(stdout).toMatch(line);
    }
    expect(stdout).not.toContain("progress:");
  });

  it("explains a failure", async () => {
    const { exitCode, stdout } = await retake("runs", "get", await ended("fail"));
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(
      /^Failure +FAILED_PRECONDITION: the prompt is not allowed\n +\S.*another attempt would fail the same way$/m,
    );
    expect(stdout).not.toContain("Result:");
    expect(stdout).not.toContain("\u001b");
  });

  it("shows an open run as far as it has come, and how to go on", async () => {
    const run = await client.start(plain, { text: "hold get" });
    for await (const update of run.events()) if (update.kind === "event" && update.event.sequence === 2n) break;
    const { exitCode, stdout, stderr } = await retake("runs", "get", run.id);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^State +RUNNING$/m);
    expect(stdout).toMatch(/^Deadline +\d{4}-.*\(in .*\)$/m);
    expect(stdout).toMatch(/2 {2}attempt 1 started on in-process\n$/);
    expect(stderr).toBe(`It goes on: retake watch ${run.id} --after 2\n`);
    studio.letGo("get");
  });

  it("draws what took how long", async () => {
    const run = await client.start(streaming, { updates: 2 });
    await run.result();
    const { stdout } = await retake("runs", "get", run.id);
    expect(stdout).toMatch(
      /^Timeline:\n(?: {2}queued .*\n)? {2}attempt 1 +\S+ [mµ]?s +#+\n {4}step part-1 .*#\n {4}step part-2 /m,
    );
  });

  it("answers why a run waits, and who holds what it waits for", async () => {
    const gate = Promise.withResolvers<void>();
    await using own = await startServer({
      limited: async ({ text }) => {
        await gate.promise;
        return { text };
      },
    });
    using other = connectRetake({ target: own.env.RETAKE_TARGET });
    const first = await other.start(WorkflowsService.method.limited, {});
    const second = await other.start(WorkflowsService.method.limited, {});
    const { stdout } = await cli(["runs", "get", second.id], { env: own.env });
    expect(stdout).toMatch(/^Waits for +workflow: .* is at its limit of 1: it is next$/m);
    expect(stdout).toMatch(new RegExp(`^Held by +${first.id}$`, "m"));
    expect(stdout).toMatch(/^Waits since +\d{4}-/m);
    expect(stdout).toMatch(/^Timeline:\n {2}queued +\S+ \S+\+ +-+$/m);
    gate.resolve();
    await second.result();
  });

  it("prints the run with its messages as JSON", async () => {
    const { stdout } = await retake("runs", "get", await ended("a"), "--json");
    expect(jsonLines(stdout)).toMatchObject([
      { input: { value: { text: "a" } }, result: { value: { text: "a" } }, state: "RUN_STATE_SUCCEEDED" },
    ]);
  });

  it.each([
    [[nobody], 4, `there is no run ${nobody}`],
    [["x"], 2, '"x" is no run id'],
    [[], 2, "RUN_ID is missing"],
  ])("%j is refused with %i", async (argv, exitCode, message) => {
    for (const command of ["get", "cancel", "rerun"]) {
      const refused = await retake("runs", command, ...argv);
      expect(refused.stderr).toContain(message);
      expect(refused.exitCode).toBe(exitCode);
    }
  });
});

describe("retake runs cancel", () => {
  it("asks a run to stop, and says what it does", async () => {
    const run = await client.start(plain, { text: "hold cancel" });
    for await (const update of run.events()) if (update.kind === "event" && update.event.sequence === 2n) break;
    const { exitCode, stdout } = await retake("runs", "cancel", run.id, "--reason", "wrong prompt");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(new RegExp(`^${run.id} CANCELL(ING|ED)\n$`));
    await expect(run.result()).rejects.toMatchObject({ reason: "wrong prompt" });
    const again = await retake("runs", "cancel", run.id);
    expect(again).toEqual({ exitCode: 0, stdout: `${run.id} CANCELLED\n`, stderr: "" });
  });

  it("says when it came too late", async () => {
    const runId = await ended("a");
    const { exitCode, stdout, stderr } = await retake("runs", "cancel", runId);
    expect(exitCode).toBe(0);
    expect(stdout).toBe(`${runId} SUCCEEDED\n`);
    expect(stderr).toBe("It had ended before.\n");
    expect(jsonLines((await retake("runs", "cancel", runId, "--json")).stdout)).toMatchObject([{ runId }]);
  });
});

describe("retake runs rerun", () => {
  it("starts a run again, and follows it", async () => {
    const first = await ended("again");
    const { exitCode, stdout } = await retake("runs", "rerun", first);
    expect(exitCode).toBe(0);
    const second = client.attach(stdout.trimEnd(), plain);
    expect(await second.result()).toMatchObject({ text: "again" });
    expect((await second.get()).rerunOf).toBe(first);
    const watched = await retake("runs", "rerun", first, "--watch", "--quiet");
    expect(JSON.parse(watched.stdout)).toEqual({ text: "again" });
    expect(watched.exitCode).toBe(0);
  });

  it("joins by its key", async () => {
    const first = await ended("keyed");
    const [a, b] = [await retake("runs", "rerun", first, "-k", "r"), await retake("runs", "rerun", first, "-k", "r")];
    expect(a.stdout).toBe(b.stdout);
  });

  it("says why an open run cannot be rerun", async () => {
    const run = await client.start(plain, { text: "hold rerun" });
    const { exitCode, stderr } = await retake("runs", "rerun", run.id);
    expect(exitCode).toBe(6);
    expect(stderr).toContain("only a run that has ended can be rerun");
    studio.letGo("rerun");
  });
});

describe("a filter instead of a run", () => {
  it("shows what would be cancelled, and cancels it with --yes", async () => {
    await using own = await startServer({ ...createStudio().workflows, keyed: () => new Promise(() => {}) });
    using other = connectRetake({ target: own.env.RETAKE_TARGET });
    const kept = await other.start(plain, { text: "hold x" });
    const runIds: string[] = [];
    for (let count = 0; count < 12; count++) runIds.push((await other.start(WorkflowsService.method.keyed, {})).id);
    const command = ["runs", "cancel", "--workflow", "Keyed"];
    const dry = await cli(command, { env: own.env });
    expect(dry.exitCode).toBe(0);
    expect(dry.stdout.match(/^[0-9a-f-]{36} /gm)).toHaveLength(10);
    expect(dry.stdout).toContain("\n… and 2 more\n");
    expect(dry.stderr).toBe("12 runs would be cancelled. To do it, add --yes.\n");
    expect((await other.attach(runIds[0] ?? "").get()).cancelReason).toBe("");
    const done = await cli([...command, "--reason", "wrong model", "--yes"], { env: own.env });
    expect(done).toMatchObject({ exitCode: 0, stdout: "12 runs asked to stop\n" });
    for (const runId of runIds) expect((await other.attach(runId).get()).cancelReason).toBe("wrong model");
    expect((await kept.get()).cancelReason).toBe("");
    const again = await cli([...command, "--yes", "--json"], { env: own.env });
    expect(jsonLines(again.stdout)).toEqual([{ matched: 0, cancelled: 0 }]);
    expect((await cli(command, { env: own.env })).stderr).toBe("No runs match.\n");
  });

  it("reruns each ended run once under one batch", async () => {
    await using own = await startServer(createStudio().workflows);
    using other = connectRetake({ target: own.env.RETAKE_TARGET });
    for (let count = 0; count < 3; count++) {
      await (await other.start(plain, { text: "fail" })).result().catch(() => undefined);
    }
    const command = ["runs", "rerun", "--state", "failed", "--since", "1h"];
    const dry = await cli(command, { env: own.env });
    expect(dry.stderr).toBe("3 runs would be rerun. To do it, add --yes.\n");
    const done = await cli([...command, "--yes", "--batch", "night"], { env: own.env });
    expect(done).toMatchObject({ exitCode: 0, stdout: "3 runs started, of 3 that match\n" });
    expect(done.stderr).toContain("with --batch night, the same again goes on");
    const again = await cli([...command, "--yes", "--batch", "night", "--json"], { env: own.env });
    expect(jsonLines(again.stdout)).toMatchObject([{ batch: "night", matched: 3, started: 0, refused: [] }]);
  });

  it.each([
    [["cancel", nobody, "--state", "open"], "give a RUN_ID or a filter"],
    [["rerun", nobody, "--yes"], "give a RUN_ID or a filter"],
    [["rerun", "--state", "failed", "--watch"], "--watch is about one run"],
    [["rerun", nobody, "--batch", "b"], "--batch is that of a filter"],
    [["cancel", "--yes"], "RUN_ID is missing"],
    [["cancel", "--state", "failed"], "runs that are FAILED cannot be cancelled"],
  ])("%j is refused", async (argv, message) => {
    const { exitCode, stderr } = await retake("runs", ...argv);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
  });
});
