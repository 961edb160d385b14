import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { runCli } from "../../../src/cli/run-cli.ts";
import { connectRetake } from "../../../src/client/index.ts";
import { type CliServer, chunks, createIo, jsonLines, retake, startServer } from "../harness.ts";
import { createStudio } from "../studio.ts";

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const service = "retake.test.v1.WorkflowsService";

const studio = createStudio();
let server: CliServer;
let directory = "";
beforeAll(async () => {
  server = await startServer(studio.workflows);
  directory = await mkdtemp(join(tmpdir(), "retake-cli-"));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const run = (...argv: string[]) => retake(["run", ...argv], { env: server.env });

describe("retake run", () => {
  it("prints the id alone, so that it can be kept, and how to watch", async () => {
    const { exitCode, stdout, stderr } = await run(`${service}/Plain`, "--input", '{"text": "hi"}');
    expect(exitCode).toBe(0);
    expect(stdout.trimEnd()).toMatch(uuid);
    expect(stderr).toBe(`Watch it: retake watch ${stdout.trimEnd()}\n`);
  });

  it("repeats the flags for the connection in what it says to do next, but no secrets", async () => {
    const { env } = server;
    const admin = createClient(AdminService, server.server.transport);
    const { key } = await admin.createApiKey({ subject: "ana", level: AccessLevel.ADMIN });
    const flags = ["--target", env.RETAKE_TARGET, "--api-key", key];
    const { stdout, stderr } = await retake(["run", "Plain", ...flags]);
    expect(stderr).toBe(`Watch it: retake watch ${stdout.trimEnd()} --target ${env.RETAKE_TARGET}\n`);
  });

  it.each(["Plain", "WorkflowsService/Plain", `/${service}/Plain`])("finds the workflow by %s", async (name) => {
    expect((await run(name)).exitCode).toBe(0);
  });

  it("joins the run that its key belongs to, and says so", async () => {
    const first = await run("Plain", "--key", "k-1", "-i", '{"text": "a"}');
    const second = await run("Plain", "--key", "k-1", "-i", '{"text": "a"}');
    expect(second.stdout).toBe(first.stdout);
    expect(second.stderr).toContain("existed before");
    const other = await run("Plain", "--key", "k-1", "-i", '{"text": "b"}');
    expect(other.exitCode).toBe(6);
    expect(other.stderr).toContain("which has another input");
  });

  it("passes on priority, least quality and time-out", async () => {
    const { stdout } = await run("Plain", "--priority", "-7", "--min-quality", "High", "--timeout", "1h", "--json");
    const [{ run: started }] = jsonLines(stdout) as [{ run: Record<string, string> }];
    expect(started).toMatchObject({ priority: -7, minQuality: "QUALITY_HIGH" });
    const left = Date.parse(started["deadline"] ?? "") - Date.parse(started["createTime"] ?? "");
    expect(left).toBe(3_600_000);
  });

  it("prints protobuf JSON with --json", async () => {
    const { stdout, stderr } = await run("Plain", "--json");
    expect(stderr).toBe("");
    expect(jsonLines(stdout)).toMatchObject([{ run: { workflow: `${service}/Plain`, mode: "RUN_MODE_DETACHED" } }]);
  });

  it("reads its input from standard input", async () => {
    const stdin = chunks('{"text": "from', ' a pipe"}');
    const { stdout } = await retake(["run", "Plain", "-i", "-", "-w", "-q"], { env: server.env, stdin });
    expect(JSON.parse(stdout)).toEqual({ text: "from a pipe" });
  });

  it.each([
    [["Plain", "-i", '{"txt": 1}'], 2, 'Did you mean "text"?'],
    [
      ["Flaky", "-i", '{"failures": 101}'],
      2,
      "failures: must be greater than or equal to 0 and less than or equal to 100",
    ],
    [["Plain", "-i", "{"], 2, "--input is no JSON"],
    [["Plain", "-i", "@nowhere.json"], 2, "nowhere.json cannot be read"],
    [["Plan"], 4, 'there is no workflow "Plan". Did you mean "Plain"?'],
    [["a.B/C"], 4, 'there is no workflow "a.B/C"'],
    [[`${service}/Plan`], 4, `Did you mean "${service}/Plain"?`],
    [["Plain", "--priority", "101"], 2, '--priority: "101" is no whole number from -100 to 100'],
    [["Plain", "--priority", "1.5"], 2, "--priority"],
    [
      ["Plain", "--min-quality", "hihg"],
      2,
      '--min-quality: there is no "hihg", only minimal, low, medium, high, full.',
    ],
    [["Plain", "--timeout", "soon"], 2, '--timeout: "soon" is no duration'],
    [["Plain", "--key", ""], 2, "--key is empty"],
    [["Plain", "--quiet"], 2, "--quiet is about the result: add --watch"],
    [["Plain", "-o", "x.json"], 2, "--output is about the result: add --watch"],
    [["Plain", "-w", "-q", "--json"], 2, "--json and --quiet exclude each other"],
    [["Plain", "-w", "-o", "/nowhere/x"], 2, "/nowhere cannot be written to"],
  ])("%j is refused with %i", async (argv, exitCode, message) => {
    const ended = await run(...argv);
    expect(ended.stderr).toContain(message);
    expect(ended.exitCode).toBe(exitCode);
    expect(ended.stdout).toBe("");
  });
});

describe("retake run --watch", () => {
  it("prints a line for each event, then the result, where it is piped", async () => {
    const { exitCode, stdout, stderr } = await run("Streaming", "-i", '{"updates": 1}', "-w");
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/^Run [0-9a-f-]{36}\n$/);
    const lines = stdout.split("\n");
    const start = lines.indexOf("{");
    const events = lines
      .slice(0, start)
      .map((line) => line.replace(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +(\d+) {2}/, "$1 "));
    expect(events).toEqual(events.map((line, index) => expect.stringMatching(new RegExp(`^${index + 1} \\S`)) && line));
    expect(events[0]).toBe("1 accepted from anonymous");
    expect(events[1]).toBe("2 attempt 1 started on in-process");
    expect(events.some((line) => / step "part-1" done after /.test(line))).toBe(true);
    expect(events.at(-1)).toMatch(/^\d+ succeeded: 1 attempt, ran /);
    expect(JSON.parse(lines.slice(start).join("\n"))).toEqual({ result: "x" });
  });

  it("prints updates as JSON lines with --json, the result in the last one", async () => {
    const { exitCode, stdout, stderr } = await run("Streaming", "-i", '{"updates": 1}', "-w", "--json");
    expect(exitCode).toBe(0);
    expect(stderr).toBe("");
    const updates = jsonLines(stdout) as { event?: { sequence: string; succeeded?: unknown }; progress?: unknown }[];
    const sequences = updates.flatMap(({ event }) => (event === undefined ? [] : [Number(event.sequence)]));
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
    expect(updates.at(-1)?.event?.succeeded).toMatchObject({
      result: { value: { "@type": "type.googleapis.com/retake.test.v1.StreamingResponse", result: "x" } },
    });
  });

  it("prints the result alone with --quiet, and all of it where it is piped", async () => {
    const { stdout, stderr } = await run("Streaming", "-i", '{"updates": 2}', "-w", "-q");
    expect(JSON.parse(stdout)).toEqual({ result: "x".repeat(5_000) });
    expect(stderr).toBe("");
  });

  it("saves the result, or a field of it, instead of printing it", async () => {
    const [whole, field] = [join(directory, "whole.json"), join(directory, "field.txt")];
    const { exitCode, stdout, stderr } = await run(
      "Streaming",
      "-i",
      '{"updates": 1}',
      "-w",
      "-q",
      "-o",
      whole,
      "-o",
      `result=${field}`,
    );
    expect(exitCode).toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toBe(`Saved ${whole}\nSaved ${field}\n`);
    expect(JSON.parse(await readFile(whole, "utf8"))).toEqual({ result: "x" });
    expect(await readFile(field, "utf8")).toBe("x");
    const asJson = await run("Streaming", "-i", '{"updates": 1}', "-w", "--json", "-o", `result=${field}`);
    expect(asJson.exitCode).toBe(0);
    expect(jsonLines(asJson.stdout).length).toBeGreaterThan(2);
  });

  it("exits with 1 when the run fails, and says why and what to do", async () => {
    const { exitCode, stderr } = await run("Plain", "-i", '{"text": "fail"}', "-w");
    expect(exitCode).toBe(1);
    const [id, why, ...more] = stderr.trimEnd().split("\n");
    const runId = id?.slice("Run ".length) ?? "";
    expect(why).toBe(`retake: run ${runId} failed: FAILED_PRECONDITION: the prompt is not allowed`);
    expect(more.join("\n")).toContain("another attempt would fail the same way");
    expect(more.at(-1)).toBe(`  Once its cause is mended, run it again: retake runs rerun ${runId} --watch`);
    expect(stderr).not.toContain("\u001b");
  });

  it("draws a bar on a terminal, keeps what matters above it, and cuts texts that nobody reads", async () => {
    const { io, stdout, stderr } = createIo({ isTTY: true, columns: 100, env: { ...server.env, LANG: "C.UTF-8" } });
    expect(await runCli(["run", "Streaming", "-i", '{"updates": 2}', "-w"], io)).toBe(0);
    const written = stdout();
    expect(written.startsWith("\u001b[?25l")).toBe(true);
    const [drawn = "", after = ""] = written.split("\u001b[?25h");
    expect(drawn).toContain('step "part-2" done');
    expect(drawn).not.toContain("accepted from");
    expect(after).toMatch(
      /^Run [0-9a-f-]{36} succeeded: 1 attempt, ran .*, 2 steps\n\{\n {2}"result": "x{40}… \(5,000 characters\)"\n\}\n$/,
    );
    expect(stderr()).toContain("1 long text cut short. With --output result=FILE it is saved whole.");
  });

  it("leaves the run running when it is interrupted, and says how to go on", async () => {
    for (const isTTY of [false, true]) {
      const { io, stdout, stderr, seen, interrupt } = createIo({ env: server.env, isTTY });
      const ending = runCli(["run", "Plain", "-i", '{"text": "hold on"}', "-w"], io);
      await seen(/attempt 1/);
      interrupt();
      expect(await ending).toBe(130);
      const runId = /^Run (\S+)/.exec(stderr())?.[1] ?? "";
      expect(stderr()).toContain(`stopped watching; run ${runId} goes on`);
      // A terminal may show the attempt before its event has come.
      const after = isTTY ? "[0-2]" : "2";
      expect(stderr()).toMatch(new RegExp(`Watch it again: retake watch ${runId} --after ${after}\n`));
      expect(stderr()).toContain(`retake runs cancel ${runId}`);
      expect(stdout().endsWith("\u001b[?25h")).toBe(isTTY);
      using client = connectRetake({ target: server.env.RETAKE_TARGET });
      expect((await client.attach(runId).get()).state).toBe(RunState.RUNNING);
      await client.attach(runId).cancel();
    }
    studio.letGo("on");
  });

  it("exits with 5 when the run is cancelled or expires meanwhile", async () => {
    const cancelled = createIo({ env: server.env });
    const ending = runCli(["run", "Plain", "-i", '{"text": "hold for-cancel"}', "-w"], cancelled.io);
    await cancelled.seen(/attempt 1/);
    const runId = /^Run (\S+)/.exec(cancelled.stderr())?.[1] ?? "";
    expect((await retake(["runs", "cancel", runId, "--reason", "wrong prompt"], { env: server.env })).exitCode).toBe(0);
    expect(await ending).toBe(5);
    expect(cancelled.stderr()).toContain(`run ${runId} was cancelled: wrong prompt`);
    const expired = await run("Plain", "-i", '{"text": "hold forever"}', "--timeout", "50ms", "-w");
    expect(expired.stderr).toContain("did not end before its deadline");
    expect(expired.exitCode).toBe(5);
  });
});

describe("without the server's reflection", () => {
  let dark: CliServer;
  beforeAll(async () => {
    dark = await startServer(createStudio().workflows, { reflection: false });
  });
  afterAll(() => dark[Symbol.asyncDispose]());

  it("lets the server read the input, and shows the result's bytes with a word about why", async () => {
    const { exitCode, stdout, stderr } = await retake(["run", "Plain", "-i", '{"text": "hi"}', "-w", "-q"], {
      env: dark.env,
    });
    expect(exitCode).toBe(0);
    expect(stderr).toBe(
      "The result cannot be shown as JSON: the server's reflection is off, so its type is unknown (retake.test.v1.PlainResponse, 4 bytes).\n",
    );
    expect(JSON.parse(stdout)).toEqual({
      "@type": "type.googleapis.com/retake.test.v1.PlainResponse",
      value: "CgJoaQ==",
    });
  });

  it("names what the server finds wrong in the input", async () => {
    const { exitCode, stderr } = await retake(["run", "Plain", "-i", '{"txt": 1}'], { env: dark.env });
    expect(exitCode).toBe(2);
    expect(stderr).toContain('Did you mean "text"?');
    expect((await retake(["run", "Plain", "-i", "{"], { env: dark.env })).stderr).toContain("--input is no JSON");
  });

  it("cannot save a field, and says so", async () => {
    const file = join(directory, "dark");
    const { exitCode, stderr } = await retake(["run", "Plain", "-w", "-o", `text=${file}`, "-i", '{"text": "x"}'], {
      env: dark.env,
    });
    expect(exitCode).toBe(6);
    expect(stderr).toContain("the result cannot be saved: the server's reflection is off");
  });
});
