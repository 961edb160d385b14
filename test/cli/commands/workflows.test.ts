import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliServer, retake as cli, jsonLines, startServer } from "../harness.ts";

let server: CliServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server[Symbol.asyncDispose]());

const retake = (...argv: string[]) => cli(argv, { env: server.env });

describe("retake workflows", () => {
  it("lists what the server executes", async () => {
    const { exitCode, stdout } = await retake("workflows");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^WORKFLOW +ANSWERS +BACK-ENDS\n/);
    expect(stdout).toMatch(/^retake\.test\.v1\.WorkflowsService\/Plain +a result +in-process$/m);
    expect(stdout).toMatch(/\/Streaming +progress, then a result +in-process$/m);
  });

  it("shows one: its request, its policy, and how to start it", async () => {
    const { exitCode, stdout } = await retake("workflows", "Flaky");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^Request +retake\.test\.v1\.FlakyRequest$/m);
    expect(stdout).toMatch(/^ {2}failures +int32\n {2}code +string$/m);
    expect(stdout).toContain('"maxAttempts": 4');
    expect(stdout).toContain(
      "Start it: retake run retake.test.v1.WorkflowsService/Flaky --input @request.json --watch",
    );
  });

  it("prints one a line with --json", async () => {
    const all = jsonLines((await retake("workflows", "--json")).stdout);
    expect(all).toHaveLength(8);
    const [one, ...others] = jsonLines((await retake("workflows", "Plain", "--json")).stdout);
    expect(one).toMatchObject({
      workflow: "retake.test.v1.WorkflowsService/Plain",
      inputType: "retake.test.v1.PlainRequest",
    });
    expect(others).toEqual([]);
  });

  it.each([["Plan"], ["a.B/C"]])("%s is not found", async (name) => {
    const { exitCode, stderr } = await retake("workflows", name);
    expect(exitCode).toBe(4);
    expect(stderr).toContain("See what there is: retake workflows");
  });
});

describe("retake workflows pause and resume", () => {
  it("hold a workflow's runs back and let them go, and the list tells", async () => {
    const paused = await retake("workflows", "pause", "Once", "--reason", "new cards");
    expect(paused.exitCode).toBe(0);
    const name = "retake.test.v1.WorkflowsService/Once";
    expect(paused.stdout).toMatch(new RegExp(`^${name} is paused by anonymous since \\d{4}-.*: new cards\n$`));
    expect(paused.stderr).toBe(`Let it go on: retake workflows resume ${name}\n`);
    expect((await retake("workflows")).stdout).toMatch(/^WORKFLOW .* PAUSED\n/);
    expect((await retake("workflows", "Once")).stdout).toMatch(/^Paused +by anonymous since .*: new cards$/m);
    const { stdout } = await retake("run", "Once");
    expect((await retake("runs", "get", stdout.trimEnd())).stdout).toMatch(/^Waits for +pause: .*: new cards$/m);
    expect((await retake("workflows", "resume", "Once")).stdout).toBe(`${name} goes on\n`);
    const again = await retake("workflows", "resume", "Once", "--json");
    expect(jsonLines(again.stdout)).toEqual([{ workflow: name, resumed: false }]);
    expect((await retake("watch", stdout.trimEnd(), "--quiet")).exitCode).toBe(0);
    expect((await retake("workflows")).stdout).not.toContain("PAUSED");
  });

  it.each([
    [["pause"], 2, "WORKFLOW is missing"],
    [["pause", "Plian"], 4, "there is no workflow"],
    [["resume", "a.B/C"], 4, "there is no workflow"],
  ])("%j is refused", async (argv, exitCode, message) => {
    const refused = await retake("workflows", ...argv);
    expect(refused.exitCode).toBe(exitCode);
    expect(refused.stderr).toContain(message);
  });
});
