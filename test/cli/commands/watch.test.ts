import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectRetake, type RetakeClient } from "../../../src/client/index.ts";
import { WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";
import { type CliServer, retake as cli, startServer } from "../harness.ts";
import { createStudio } from "../studio.ts";

const { plain } = WorkflowsService.method;
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

describe("retake watch", () => {
  it("follows a run to its result, from where it is told to", async () => {
    const runId = await ended("watched");
    const whole = await retake("watch", runId);
    expect(whole.exitCode).toBe(0);
    expect(whole.stdout).toMatch(/ 1 {2}accepted/);
    expect(whole.stdout).toContain('"text": "watched"');
    const rest = await retake("watch", runId, "--after", "2");
    expect(rest.stdout).not.toContain("accepted");
    expect(rest.stdout).toMatch(/ 3 {2}succeeded/);
  });

  it("shows the end of a run whose events are all known", async () => {
    expect((await retake("watch", await ended("a"), "--after", "3")).stdout).toBe('{\n  "text": "a"\n}\n');
    const failed = await retake("watch", await ended("fail"), "--after", "4");
    expect(failed.exitCode).toBe(1);
    expect(failed.stderr).toContain("not allowed");
    const { id } = await client.start(plain, { text: "hold known" }, { timeoutMs: 20 });
    await client
      .attach(id)
      .result()
      .catch(() => undefined);
    expect((await retake("watch", id, "--after", "9")).exitCode).toBe(5);
  });

  it("refuses a number that the run has not reached", async () => {
    const run = await client.start(plain, { text: "hold reach" });
    const { exitCode, stderr } = await retake("watch", run.id, "--after", "50");
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`has no event 50 yet`);
    studio.letGo("reach");
  });

  it.each([
    [[nobody], 4, `there is no run ${nobody}`],
    [["x"], 2, '"x" is no run id'],
    [[nobody, "--after", "-1"], 2, '--after: "-1" is no event number'],
    [[nobody, "--after", "--json"], 2, "--after needs a value"],
    [[nobody, "--after=-1"], 2, '--after: "-1" is no event number'],
    [[nobody, "--after", "x"], 2, "--after"],
  ])("%j is refused with %i", async (argv, exitCode, message) => {
    const refused = await retake("watch", ...argv);
    expect(refused.stderr).toContain(message);
    expect(refused.exitCode).toBe(exitCode);
  });

  it("takes an id in capitals", async () => {
    expect((await retake("watch", (await ended("a")).toUpperCase())).exitCode).toBe(0);
  });
});
