import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliServer, retake as cli, jsonLines, startServer } from "../harness.ts";

const name = (method: string) => `retake.test.v1.WorkflowsService/${method}`;
const circuitBreaker = { volumeThreshold: 2, resetTimeout: { seconds: 3600n } };

let server: CliServer;
beforeAll(async () => {
  server = await startServer(
    {
      once: () => {
        throw new ConnectError("no cards", Code.Unavailable);
      },
    },
    {},
    { config: { workflows: { [name("Plain")]: { circuitBreaker }, [name("Once")]: { circuitBreaker } } } },
  );
});
afterAll(() => server[Symbol.asyncDispose]());

const retake = (...argv: string[]) => cli(argv, { env: server.env });

describe("retake breakers", () => {
  it("lists them, and shows one with what has happened to it", async () => {
    for (let i = 0; i < 2; i++) await retake("run", "Once", "--watch", "--quiet");
    const { exitCode, stdout } = await retake("breakers", "list");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^WORKFLOW +STATE +FAILED +WAITING +NEXT +WHY\n/);
    expect(stdout).toMatch(
      /^retake\.test\.v1\.WorkflowsService\/Once +open +0 of 0 +0 +trial in .*min.* +2 of 2 attempts failed within 60 s$/m,
    );
    expect(stdout).toMatch(/\/Plain +closed +0 of 0 +0$/m);
    const { stdout: one } = await retake("breakers", "list", "Once");
    expect(one).toMatch(/^Back-end +in-process\nState +open, trial in .*$/m);
    expect(one).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}opened: 2 of 2 attempts failed within 60 s$/m);
    const [json] = jsonLines((await retake("breakers", "list", "Once", "--json")).stdout);
    expect(json).toMatchObject({ workflow: name("Once"), state: "BREAKER_STATE_OPEN", generation: "1" });
  });

  it("holds one open and closed, and lets it be automatic again", async () => {
    const opened = await retake("breakers", "open", "Plain", "--for", "1h", "--reason", "new cards");
    expect(opened.exitCode).toBe(0);
    expect(opened.stdout).toMatch(
      new RegExp(`^the breaker of ${name("Plain")} is open \\(forced\\), automatic in .*\n$`),
    );
    expect(opened.stderr).toBe(`Let it be automatic again: retake breakers auto ${name("Plain")}\n`);
    const { stdout } = await retake("run", "Plain");
    expect((await retake("runs", "get", stdout.trimEnd())).stdout).toMatch(
      /^Waits for +breaker: .*is held open by anonymous: new cards/m,
    );
    const closed = await retake("breakers", "close", "Plain");
    expect(closed.stdout).toBe(`the breaker of ${name("Plain")} is closed (forced)\n`);
    expect((await retake("watch", stdout.trimEnd(), "--quiet")).exitCode).toBe(0);
    const auto = await retake("breakers", "auto", "Plain", "--reason", "all is well");
    expect(auto.stdout).toBe(`the breaker of ${name("Plain")} is closed\n`);
    expect(auto.stderr).toBe("");
    const [json] = jsonLines((await retake("breakers", "auto", "Plain", "--json")).stdout);
    expect(json).toMatchObject({ mode: "BREAKER_MODE_AUTOMATIC" });
    const { stdout: one } = await retake("breakers", "list", "Plain");
    const lines = one.trimEnd().split("\n").slice(-3);
    expect(lines[0]).toMatch(/ {2}closed by anonymous: all is well$/);
    expect(lines[1]).toMatch(/ {2}held closed by anonymous$/);
    expect(lines[2]).toMatch(/ {2}held open by anonymous until .*: new cards$/);
  });

  it.each([
    [["list", "Keyed"], 4, "has no breaker"],
    [["list", "Plian"], 4, "there is no workflow"],
    [["open"], 2, "WORKFLOW is missing"],
    [["open", "Plain", "--for", "soon"], 2, "--for"],
    [["auto", "Plain", "--for", "1h"], 2, "there is no flag --for"],
    [["close", "Keyed"], 6, "has no breaker: declare circuit_breaker"],
  ])("%j is refused", async (argv, exitCode, message) => {
    const refused = await retake("breakers", ...argv);
    expect([refused.exitCode, refused.stderr]).toEqual([exitCode, expect.stringContaining(message)]);
  });
});
