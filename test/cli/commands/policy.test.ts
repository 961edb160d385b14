import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliServer, retake as cli, jsonLines, startServer } from "../harness.ts";

let server: CliServer;
let directory: string;
beforeAll(async () => {
  server = await startServer();
  directory = await mkdtemp(join(tmpdir(), "retake-policy-"));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const name = (method: string) => `retake.test.v1.WorkflowsService/${method}`;
const retake = (...argv: string[]) => cli(["policy", ...argv], { env: server.env });

async function* chunks(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

describe("retake policy", () => {
  it("sets, shows and deletes an override", async () => {
    expect(await retake("list")).toMatchObject({ exitCode: 0, stderr: "No policy is overridden at run time.\n" });
    const set = await retake("set", "Flaky", "-i", "retry: { max_attempts: 9 }", "--reason", "a slow night");
    expect(set.exitCode).toBe(0);
    expect(set.stdout).toMatch(
      /^Workflow {2}retake\.test\.v1\.WorkflowsService\/Flaky\nRevision {2}1\nSet {7}by anonymous, \d{4}-/,
    );
    expect(set.stdout).toContain("Reason    a slow night\n");
    expect(set.stdout).toContain("Override:\n  retry:\n    max_attempts: 9\n\nPolicy:\n  timeout: 600s\n");
    expect(set.stderr).toBe(`Take it back: retake policy delete ${name("Flaky")}\n`);
    expect((await retake("list", "Flaky")).stdout).toBe(set.stdout);
    expect((await retake("list")).stdout).toMatch(
      /^WORKFLOW .*\nretake\.test\.v1\.WorkflowsService\/Flaky +1 +yes +\d{4}-.* +anonymous +a slow night\n$/,
    );
    const shown = await cli(["workflows", "Flaky"], { env: server.env });
    expect(shown.stdout).toContain('"maxAttempts": 9');
    const deleted = await retake("delete", "Flaky", "--revision", "1");
    expect(deleted.stdout).toBe(`${name("Flaky")} goes by its contract and the configuration again\n`);
    expect(await retake("list", "Flaky")).toMatchObject({ exitCode: 4 });
  });

  it("takes what is given as nothing for what is to be taken back", async () => {
    const set = await retake("set", "Flaky", "-i", "retry: { retryable_status_codes: [] }");
    expect(set.stdout).toContain("Override:\n  retry: {}\n  clear:\n    - retry.retryable_status_codes\n");
    expect(set.stdout).not.toContain("FAILED_PRECONDITION");
    await retake("delete", "Flaky");
  });

  it("takes what it shows, from a file or standard input", async () => {
    const file = join(directory, "night.yaml");
    await writeFile(file, "# for the night\nconcurrency:\n  limit: 3\n");
    const [set] = jsonLines((await retake("set", "Keyed", "-i", `@${file}`, "--revision", "0", "--json")).stdout);
    expect(set).toMatchObject({ workflow: name("Keyed"), policy: { concurrency: { limit: 3 } } });
    // Not 1: another override was taken back before.
    const { revision } = set as { readonly revision: string };
    const next = String(Number(revision) + 1);
    const [{ policy }] = jsonLines((await retake("list", "Keyed", "--json")).stdout) as [{ policy: object }];
    const again = await cli(["policy", "set", "Keyed", "-i", "-", "--json"], {
      env: server.env,
      stdin: chunks(JSON.stringify(policy)),
    });
    expect(jsonLines(again.stdout)).toMatchObject([{ revision: next, policy }]);
    const [deleted] = jsonLines((await retake("delete", "Keyed", "--json", "--reason", "morning")).stdout);
    expect(deleted).toMatchObject({ revision: next, policy });
  });

  it.each([
    [["set", "Flaky"], 2, "--input is missing"],
    [["set", "Flaky", "-i", " "], 2, "--input is empty"],
    [["set", "Flaky", "-i", "retry: { max_attempt: 9 }\nfallback: []"], 2, "--input:1:10: retry: "],
    [["set", "Flaky", "-i", "retry: { max_attempts: many }"], 2, "retry.max_attempts: must be"],
    [["set", "Flaky", "-i", "retry: ["], 2, "--input:"],
    [["set", "Flaky", "-i", "@/no/such/file"], 2, "cannot be read"],
    [["set", "Flaky", "-i", "retry: { max_attempts: 0 }"], 2, "policy.retry.max_attempts: "],
    [["set", "Flaky", "-i", "{}", "--revision", "7"], 6, "is at revision 0, and not at 7"],
    [["set", "Flaky", "-i", "{}", "--revision", "x"], 2, '"x" is no whole number from 0'],
    [["set", "Flakky", "-i", "{}"], 4, "there is no workflow"],
    [["delete", "Flaky"], 4, "is not overridden at run time"],
    [["delete", "Flaky", "--revision", "0"], 2, '"0" is no whole number from 1'],
  ])("%j is refused", async (argv, exitCode, message) => {
    const refused = await retake(...argv);
    expect(refused.stderr).toContain(message);
    expect(refused.exitCode).toBe(exitCode);
    expect(refused.stdout).toBe("");
  });
});
