import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../../../src/cli/run-cli.ts";
import { Screen } from "../display/screen.ts";
import { type CliServer, retake as cli, createIo, jsonLines, startServer } from "../harness.ts";

let server: CliServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server[Symbol.asyncDispose]());

describe("retake top", () => {
  it("shows the status once, as text or as JSON", async () => {
    const shown = await cli(["top", "--once"], { env: server.env });
    expect(shown).toMatchObject({ exitCode: 0, stderr: "" });
    expect(shown.stdout).toMatch(/^Retake \d+\.\d+\.\d+ at 127\.0\.0\.1:\d+, serving, up \d/);
    expect(shown.stdout).toContain("retake.test.v1.WorkflowsService/Plain");
    const { stdout } = await cli(["top", "--once", "--json"], { env: server.env });
    expect(jsonLines(stdout)).toMatchObject([{ serving: true, journal: { available: true } }]);
  });

  it("draws it in place on a terminal, and leaves nothing behind when it is interrupted", async () => {
    const test = createIo({ isTTY: true, columns: 100, env: server.env });
    const ended = runCli(["top"], test.io);
    await test.seen(/Health/);
    const screen = Screen.of(test.stdout(), 100);
    expect(screen.lines()[0]).toMatch(/^Retake /);
    expect(screen.cursorVisible).toBe(false);
    test.resize(40);
    expect(Screen.of(test.stdout(), 100).lines()[0]).toHaveLength(39);
    test.interrupt();
    expect(await ended).toBe(0);
    const after = Screen.of(test.stdout(), 100);
    expect([after.lines(), after.cursorVisible, test.stderr(), test.resizeListeners()]).toEqual([[], true, "", 0]);
  });

  it("waits for a server that goes away to come back, and says so", async () => {
    const gone = await startServer();
    const test = createIo({ env: gone.env });
    const ended = runCli(["top"], test.io);
    await test.seen(/Health/);
    await gone[Symbol.asyncDispose]();
    await test.seen(/retake: the connection is lost, and is made anew: /);
    test.interrupt();
    expect(await ended).toBe(0);
  });

  it("does not wait for one that is not there", async () => {
    const { exitCode, stdout, stderr } = await cli(["top"], { env: { RETAKE_TARGET: "127.0.0.1:1" } });
    expect([exitCode, stdout]).toEqual([3, ""]);
    expect(stderr).toContain("nothing listens there");
  });
});
