import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { describe, expect, it, onTestFinished } from "vitest";
import { parseSecret } from "../../../src/webhooks/index.ts";
import { deadUrl, startReceiver, status } from "../../webhooks/receiver.ts";
import { jsonLines, retake } from "../harness.ts";

const secret = `whsec_${Buffer.alloc(32, 5).toString("base64")}`;
const env = { SECRET: secret };

async function fileWith(text: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "retake-webhook-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const file = join(directory, "file");
  await writeFile(file, text);
  return file;
}

describe("retake webhook test", () => {
  it("posts a message that checks as it says, and shows what came back", async () => {
    const receiver = await startReceiver();
    receiver.answer((_, response) => response.writeHead(201).end("merci \u001b[31m!"));
    const { exitCode, stdout } = await retake(["webhook", "test", receiver.url, "--secret-env", "SECRET"], { env });
    expect(exitCode).toBe(0);
    const [received] = receiver.requests;
    expect(new Webhook(secret).verify(received?.body ?? "", received?.headers as Record<string, string>)).toMatchObject(
      {
        type: "webhook.test",
        data: { state: "RUN_STATE_SUCCEEDED" },
      },
    );
    expect(stdout).toContain(`POST ${receiver.url}\n  webhook-id: ${received?.id}\n`);
    expect(stdout).toContain("Answer: HTTP status 201 after");
    expect(stdout).toContain("  merci !\nIt was taken.");
    expect(stdout).toContain("new Webhook(secret).verify(rawBody, headers)");
    expect(stdout).not.toContain(secret);
  });

  it("tries every URL of a configuration, with its secrets", async () => {
    const [one, other] = [await startReceiver(), await startReceiver()];
    other.answer(status(500));
    const secrets = await fileWith(`${secret}\n`);
    const config = await fileWith(
      JSON.stringify({
        workflows: {
          "a.B/C": { notify: { url: one.url } },
          "a.B/D": { notify: { url: other.url } },
          "a.B/E": { notify: { url: one.url } },
        },
        webhooks: { secrets: [{ file: secrets }] },
      }),
    );
    const { exitCode, stdout } = await retake(["webhook", "test", "--config", config, "--json"]);
    expect(exitCode).toBe(6);
    expect(jsonLines(stdout)).toMatchObject([
      { url: one.url, kind: "answered", status: 204 },
      { url: other.url, status: 500, text: "thanks" },
    ]);
    expect(one.requests).toHaveLength(1);
  });

  it("says that nobody is there, or that it was led elsewhere", async () => {
    const nobody = await retake(["webhook", "test", await deadUrl(), "--secret-env", "SECRET"], { env });
    expect(nobody).toMatchObject({ exitCode: 3, stdout: expect.stringMatching(/No answer after .*ECONNREFUSED/) });
    const receiver = await startReceiver();
    receiver.answer(status(302, { location: "http://127.0.0.1:1/" }));
    const led = await retake(["webhook", "test", receiver.url, "--secret-env", "SECRET"], { env });
    expect(led).toMatchObject({ exitCode: 6, stdout: expect.stringContaining("Redirects are not followed.") });
  });

  it.each([
    [["http://127.0.0.1:1/"], "no secret signs"],
    [["http://127.0.0.1:1/", "--secret-env", "NOBODY"], "NOBODY is not set; make one with: retake webhook secret"],
    [["--secret-env", "SECRET"], "the configuration names no URL"],
    [["ftp://x/", "--secret-env", "SECRET"], '"ftp://x/" is no URL to post to'],
    [["x", "--secret-env", "SECRET"], '"x" is no URL to post to'],
    [["--config", "/nowhere.yaml"], "/nowhere.yaml:"],
  ])("refuses %j", async (argv, message) => {
    const { exitCode, stderr } = await retake(["webhook", "test", ...argv], { env });
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe("retake webhook secret", () => {
  it("makes a secret that signs", async () => {
    const { exitCode, stdout } = await retake(["webhook", "secret"]);
    expect(exitCode).toBe(0);
    expect(parseSecret(stdout.trimEnd())).toHaveLength(32);
    expect(jsonLines((await retake(["webhook", "secret", "--json"])).stdout)).toEqual([{ secret: stdout.trimEnd() }]);
  });
});
