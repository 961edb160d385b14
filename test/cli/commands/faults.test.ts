import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliServer, jsonLines, retake as retakeWith, startServer } from "../harness.ts";

let server: CliServer;

beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server[Symbol.asyncDispose]());

const retake = (...argv: string[]) => retakeWith(argv, { env: server.env });
const name = "retake.test.v1.WorkflowsService/Plain";

describe("retake faults", () => {
  it("begins a drill, lists it, and ends it", async () => {
    expect((await retake("faults", "list")).stderr).toBe("There are no drills.\n");
    const begun = await retake(
      ...["faults", "inject", "Plain", "--status", "internal", "--percentage", "100", "--for", "10m"],
      ...["--reason", "see who notices"],
    );
    expect(begun.exitCode).toBe(0);
    expect(begun.stdout).toMatch(
      new RegExp(`^[0-9a-f-]{36}: 100 % of the attempts of ${name}, status INTERNAL, until \\d{4}-.*\n$`),
    );
    const id = begun.stdout.slice(0, 36);
    expect(begun.stderr).toBe(`End it: retake faults remove ${id}\n`);
    const runId = (await retake("run", "Plain")).stdout.trimEnd();
    expect((await retake("watch", runId, "--quiet")).exitCode).toBe(1);
    expect((await retake("runs", "get", runId)).stdout).toContain(
      `attempt 1 is hit by a drill: status INTERNAL (${id})`,
    );
    const listed = (await retake("faults", "list")).stdout.split("\n");
    expect(listed[0]).toMatch(/^FAULT +WORKFLOW +SHARE +EFFECT +HITS +UNTIL +BY +REASON$/);
    expect(listed[1]).toMatch(
      new RegExp(`^${id} +${name} +100 % +status INTERNAL +1 +\\d{4}-.* +anonymous +see who notices$`),
    );
    expect(jsonLines((await retake("faults", "list", "--json")).stdout)).toMatchObject([
      { faultId: id, fault: { workflow: name, status: { code: "INTERNAL" } }, hits: "1" },
    ]);
    expect((await retake("faults", "remove", id)).stdout).toBe(`${id} is over: it has hit 1 attempt\n`);
    const again = await retake("faults", "remove", id);
    expect([again.exitCode, again.stderr]).toEqual([4, expect.stringContaining("there is no drill")]);
  });

  it.each([
    [["--delay", "2s"], { delay: { duration: "2s" } }],
    [["--abort-after", "3"], { abort: { afterMessages: 3 } }],
    [["--stall-after", "0"], { stall: {} }],
    [["--out-of-memory", "--percentage", "0.5%"], { outOfMemory: {}, percentage: 0.5 }],
  ])("begins %j", async (flags, fault) => {
    const { stdout } = await retake("faults", "inject", "Once", "--for", "1h30m", "--json", ...flags);
    const [begun] = jsonLines(stdout);
    expect(begun).toMatchObject({ fault });
    const removed = await retake("faults", "remove", String(begun?.["faultId"]), "--json");
    expect(jsonLines(removed.stdout)).toMatchObject([{ fault }]);
  });

  it.each([
    [["Plain", "--crash"], 2, "--for is missing"],
    [["Plain", "--for", "1m"], 2, "say what happens to attempts: --delay, --status"],
    [["Plain", "--for", "1m", "--crash", "--delay", "1s"], 2, "two drills"],
    [["Plain", "--for", "soon", "--crash"], 2, "--for"],
    [["Plain", "--for", "1m", "--abort-after", "-1"], 2, "--abort-after"],
    [["Plain", "--for", "1m", "--out-of-memory", "--percentage", "0"], 2, "--percentage"],
    [["Plian", "--for", "1m", "--out-of-memory"], 4, "there is no workflow"],
    [["Plain", "--for", "8d", "--out-of-memory"], 2, "duration"],
    [["Plain", "--for", "1m", "--crash"], 6, "--allow-crash-faults"],
  ])("inject %j is refused", async (argv, exitCode, message) => {
    const refused = await retake("faults", "inject", ...argv);
    expect(refused.stderr).toContain(message);
    expect(refused.exitCode).toBe(exitCode);
  });
});
