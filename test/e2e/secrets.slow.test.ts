import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { serverCertificate, serverKey } from "../transport/certificates.ts";

const repository = join(import.meta.dirname, "../..");
const workflow = "retake.test.v1.SecretsService/Tell";

/** What is planted, each where its kind comes from. */
const planted = {
  "an API key": "rtk_PlantedKeyId_PlantedSecretPlantedSecretPlanted",
  "a bearer token": "PlantedBearerToken0123456789abcdef",
  "a secret of webhooks": "whsec_cGxhbnRlZC1wbGFudGVkLXBsYW50ZWQtcGxhbnRlZA==",
  "a prompt": "planted prompt of violet herons",
  "a key of TLS": serverKey.split("\n")[3] ?? "",
  "the path of a notifier's URL": "PlantedPath/T0123/B4567",
  "an e-mail address": "planted.person@example.org",
  "a card number": "4111 1111 1111 1111",
};
/** They are of callers' and operators' words, which the journal has as they were said; nothing else may. */
const inReasons: readonly string[] = ["an e-mail address", "a card number"];
const title = `${planted["an e-mail address"]} ${planted["a card number"]}`;

const root = mkdtempSync(join(tmpdir(), "retake-secrets-"));
const data = join(root, "data");
const lines: string[] = [];
const answers: string[] = [];
/** What the server has exported by OTLP, by the last part of the path. */
const exported: Record<string, string> = { traces: "", metrics: "", logs: "" };
let metrics = "";
let commandLine = "";
let printed = "";
/** Of a key that the server has made itself. */
let ownKey = "";

const collector = createServer((request, response) => {
  const signal = request.url?.split("/").at(-1) ?? "";
  request.on("data", (bytes: Buffer) => {
    exported[signal] += bytes.toString("latin1");
  });
  request.on("end", () => response.end());
});

beforeAll(async () => {
  for (const [name, text] of [
    ["server.pem", serverCertificate],
    ["server.key", serverKey],
  ] as const) {
    writeFileSync(join(root, name), text, { mode: 0o600 });
  }
  collector.listen(0, "127.0.0.1");
  await once(collector, "listening");
  const config = join(root, "retake.yaml");
  writeFileSync(
    config,
    JSON.stringify({
      dataDirectory: data,
      grpc: { port: 0, tls: { certificateFile: join(root, "server.pem"), keyFile: join(root, "server.key") } },
      web: { port: 0 },
      log: { level: "debug" },
      monitoring: {
        notifiers: [
          { name: "hook", webhook: { url: `http://127.0.0.1:9/${planted["the path of a notifier's URL"]}` } },
          { name: "chat", slack: { url: { environment: "PLANTED_TOKEN" } } },
        ],
      },
      webhooks: { secrets: [{ environment: "RETAKE_WEBHOOK_SECRET" }] },
      security: {
        anonymousLevel: "ACCESS_LEVEL_ADMIN",
        payloadEncryption: { all: true },
        audit: { reads: true, file: join(root, "audit-copy.jsonl") },
      },
    }),
  );
  const child = spawn(
    process.execPath,
    [
      "--conditions=retake-source",
      ...[join(repository, "src/cli/main.ts"), "serve", "--json", `--config=${config}`],
      `--handlers=${join(import.meta.dirname, "fixtures/secrets-handlers.ts")}`,
    ],
    {
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        NODE_OPTIONS: "",
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
        RETAKE_WEBHOOK_SECRET: planted["a secret of webhooks"],
        PLANTED_TOKEN: planted["a bearer token"],
      },
    },
  );
  const web = await listening(child);
  commandLine = existsSync("/proc/self/cmdline") ? readFileSync(`/proc/${child.pid}/cmdline`, "latin1") : "";
  await useEverything(web);
  metrics = await (await fetch(`http://127.0.0.1:${web}/metrics`)).text();
  printed = execFileSync(
    process.execPath,
    ["--conditions=retake-source", join(repository, "src/cli/main.ts"), "config", `--config=${config}`],
    { encoding: "utf8" },
  );
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}, 120_000);
afterAll(() => {
  collector.close();
  rmSync(root, { recursive: true, force: true });
});

function listening(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    const hear = (line: string): void => {
      lines.push(line);
      const port = /"web":\{[^}]*"port":(\d+)/.exec(line)?.[1];
      if (port !== undefined) resolve(Number(port));
    };
    for (const stream of [child.stdout, child.stderr]) if (stream) createInterface(stream).on("line", hear);
    child.once("exit", () => reject(new Error(`the server has ended:\n${lines.join("\n")}`)));
  });
}

async function useEverything(port: number): Promise<void> {
  const post = async (method: string, body: object, headers: Record<string, string> = {}) => {
    const response = await fetch(`http://127.0.0.1:${port}/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) answers.push(text);
    return text === "" ? {} : JSON.parse(text);
  };
  const prompt = planted["a prompt"];
  for (const fail of [false, true]) {
    const json = { prompt, title, fail, notes: [{ text: prompt }] };
    const { run } = await post("retake.v1.RunService/StartRun", {
      workflow,
      json: JSON.stringify(json),
      idempotencyKey: `k${fail}`,
    });
    await vi.waitFor(
      async () => {
        const { run: now } = await post("retake.v1.RunService/GetRun", { runId: run.runId });
        expect(now.state).toMatch(/SUCCEEDED|FAILED/);
      },
      { timeout: 20_000, interval: 100 },
    );
    const { run: ended } = await post("retake.v1.RunService/GetRun", { runId: run.runId });
    if (ended.failure) answers.push(JSON.stringify(ended.failure).replaceAll(title, ""));
  }
  const { key } = await post("retake.v1.AdminService/CreateApiKey", {
    subject: "planted",
    level: "ACCESS_LEVEL_ADMIN",
  });
  ownKey = key;
  await post("retake.v1.RunService/ListRuns", {}, { authorization: `Bearer ${ownKey}` });
  const wrong = { authorization: `Bearer ${planted["a bearer token"]}` };
  await post("retake.v1.RunService/ListRuns", { states: [99] }, wrong);
  await post("retake.v1.RunService/ListRuns", {}, { "x-api-key": planted["an API key"] });
  await post("retake.v1.RunService/PauseWorkflow", { workflow, reason: `asked by ${title}` });
  await post("retake.v1.RunService/ResumeWorkflow", { workflow });
  await post("retake.v1.RunService/StartRun", { workflow, json: JSON.stringify({ prompt: 5, titles: prompt }) }, wrong);
  await post("retake.v1.RunService/StartRun", { workflow: prompt.slice(0, 3), json: "{}" });
}

function textOf(folder: string, but: readonly string[] = []): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !but.some((each) => entry.parentPath.endsWith(each)))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"))
    .join("\n");
}

describe.each([...Object.entries(planted), ["a key that the server has made", ""]])("%s", (name, text) => {
  let secret = text;
  beforeAll(() => {
    secret ||= ownKey;
    expect(secret.length).toBeGreaterThan(15);
  });

  it("is in no line of the log", () => {
    expect(lines.length).toBeGreaterThan(1);
    expect(lines.join("\n")).not.toContain(secret);
  });

  it("is in no record of the audit log, nor in its copy", () => {
    const audit = textOf(join(data, "audit"));
    expect(audit).toContain("workflow.pause");
    expect(audit).not.toContain(secret);
    expect(readFileSync(join(root, "audit-copy.jsonl"), "utf8")).not.toContain(secret);
  });

  it.each(["traces", "metrics", "logs"])("is in none of the %s that are exported", (signal) => {
    expect(exported[signal]).toContain(workflow);
    expect(exported[signal]).not.toContain(secret);
  });

  it("is not among the metrics", () => {
    expect(metrics).toContain(workflow);
    expect(metrics).not.toContain(secret);
  });

  it("is in no error that callers get", () => {
    expect(answers.length).toBeGreaterThan(1);
    // Who asks with their own address in a title may be told of it.
    if (!inReasons.includes(name)) expect(answers.join("\n")).not.toContain(secret);
  });

  it("is not in the configuration that is printed", () => {
    expect(printed).toContain("RETAKE_WEBHOOK_SECRET");
    expect(printed).not.toContain(secret);
  });

  it("is in no command line", () => {
    expect(commandLine).not.toContain(secret);
  });

  it.skipIf(inReasons.includes(name))("is in no file of the journal", () => {
    expect(textOf(data, ["secrets", "audit"])).toContain(workflow);
    expect(textOf(data, ["secrets", "audit"])).not.toContain(secret);
  });
});

it("finds what is there: the marks of what took a secret's place", () => {
  const log = lines.join("\n");
  expect(log).toContain("[redacted]");
  expect(log).toMatch(/email:[0-9a-f]{16}/);
  expect(textOf(join(data, "audit"))).toMatch(/card:[0-9a-f]{16}/);
  for (const shown of [metrics, exported["metrics"]]) {
    expect(shown).toMatch(/email:[0-9a-f]{16} card:[0-9a-f]{16}, Bearer \[credential\]/);
    expect(shown).toMatch(/NO_CARD for email:[0-9a-f]{16}/);
  }
  expect(exported["traces"]).toMatch(/step mail email:[0-9a-f]{16} card:[0-9a-f]{16}/);
  expect(ownKey).toMatch(/^rtk_/);
});
