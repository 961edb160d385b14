import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { RunMode, RunSchema, RunState } from "../../../gen/retake/v1/run_pb.js";
import { WebhookPayloadSchema } from "../../../gen/retake/v1/webhook_pb.js";
import { ConfigError, type ResolvedConfig, resolveConfig } from "../../config/index.ts";
import {
  type PostOutcome,
  payloadJson,
  post,
  readSecrets,
  type SignatureHeaders,
  signWebhook,
  type WebhookSecret,
} from "../../webhooks/index.ts";
import type { Arguments } from "../arguments.ts";
import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { readConfig } from "../config-file.ts";
import { configFlag } from "../config-flag.ts";
import { ownTypes } from "../contracts.ts";
import { plainText } from "../display/plain-text.ts";
import { showDuration } from "../display/times.ts";
import { ExitCode } from "../exit-code.ts";
import { type CliIo, writeLines } from "../io.ts";

export const webhookTest: Command = {
  description: [
    "Posts a signed test message, as the end of a run is posted (notify), and shows what came back and how its receiver",
    "checks the signature. Nothing is repeated. Without a URL all those that the configuration names are called.",
  ].join(" "),
  local: true,
  positionals: [{ name: "URL", description: "where to post it", optional: true }],
  flags: {
    config: configFlag,
    "secret-env": { value: "NAME", description: "Sign with the secret in this environment variable instead" },
    "secret-file": { value: "FILE", description: "Sign with the secrets in this file instead" },
  },
  examples: [
    ["retake webhook test --config /etc/retake.yaml", "Try every URL of a configuration"],
    ["retake webhook test https://hooks.example/retake --secret-env SECRET", "Try one with a secret of its own"],
  ],
  async run(given, io) {
    const config = await configOf(given);
    const secrets = secretsOf(given, config, io);
    const urls = urlsOf(given, config);
    let exitCode: ExitCode = ExitCode.ok;
    for (const url of urls) {
      const message = testMessage(secrets, io);
      const outcome = await post({
        url,
        ...message,
        timeoutMs: config.webhooks.timeoutMs,
        clock: io.clock,
        signal: io.signal,
      });
      io.signal.throwIfAborted();
      if (given.has("json")) writeLines(io.stdout, JSON.stringify({ url, ...message.headers, ...outcome }));
      else show(url, message, outcome, io);
      if (outcome.kind === "unanswered") exitCode = ExitCode.unreachable;
      else if (!isTaken(outcome.status) && exitCode === ExitCode.ok) exitCode = ExitCode.refused;
    }
    if (!given.has("json")) writeLines(io.stdout, ...howToVerify);
    return exitCode;
  },
};

interface TestMessage {
  readonly headers: Readonly<Record<string, string>> & SignatureHeaders;
  readonly body: string;
}

async function configOf(given: Arguments): Promise<ResolvedConfig> {
  try {
    return resolveConfig(await readConfig(given.value("config")));
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

function secretsOf(given: Arguments, config: ResolvedConfig, io: CliIo): readonly WebhookSecret[] {
  const name = given.value("secret-env");
  const path = given.value("secret-file");
  const own = [
    ...(name === undefined ? [] : [{ kind: "environment" as const, name }]),
    ...(path === undefined ? [] : [{ kind: "file" as const, path }]),
  ];
  let secrets: readonly WebhookSecret[];
  try {
    secrets = readSecrets(own.length > 0 ? own : config.webhooks.secrets, io.env);
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.problems.map(({ message }) => message).join("\n"));
    throw error;
  }
  if (secrets.length > 0) return secrets;
  throw new UsageError(
    "no secret signs: the configuration names none (webhooks.secrets). Make one with: retake webhook secret\nThen name it: --secret-env NAME or --secret-file FILE",
  );
}

function urlsOf(given: Arguments, { overrides }: ResolvedConfig): readonly string[] {
  const url = given.positional("URL");
  if (url === "") {
    const urls = new Set(Object.values(overrides).flatMap(({ notify }) => (notify?.url ? [notify.url] : [])));
    if (urls.size > 0) return [...urls];
    throw new UsageError("the configuration names no URL (workflows.….notify.url); contracts may: give theirs as URL");
  }
  const parsed = URL.parse(url);
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || parsed.username !== "" || parsed.password !== "") {
    throw new UsageError(`"${url}" is no URL to post to; one looks like https://hooks.example/retake`);
  }
  return [url];
}

function testMessage(secrets: readonly WebhookSecret[], { clock, random }: CliIo): TestMessage {
  const nowMs = clock.now();
  const now = timestampFromMs(Math.floor(nowMs));
  const idBytes = new Uint8Array(12);
  random.fill(idBytes);
  const run = create(RunSchema, {
    runId: "00000000-0000-7000-8000-000000000000",
    workflow: "example.v1.ExampleService/Example",
    state: RunState.SUCCEEDED,
    mode: RunMode.DETACHED,
    owner: { tenant: "default", subject: "example" },
    createTime: now,
    startTime: now,
    endTime: now,
  });
  const payload = create(WebhookPayloadSchema, { type: "webhook.test", timestamp: now, data: run });
  const body = payloadJson(payload, ownTypes);
  const id = `test-${Buffer.from(idBytes).toString("hex")}`;
  return { headers: { ...signWebhook(id, nowMs, body, secrets) }, body };
}

function show(url: string, { headers, body }: TestMessage, outcome: PostOutcome, io: CliIo): void {
  const took = showDuration(outcome.elapsedMs);
  writeLines(
    io.stdout,
    `POST ${url}`,
    ...Object.entries(headers).map(([name, value]) => `  ${name}: ${value}`),
    `  ${body}`,
    "",
  );
  if (outcome.kind === "unanswered") {
    writeLines(io.stdout, `No answer after ${took}: ${plainText(outcome.error)}`, "It would be posted again.", "");
    return;
  }
  const text = plainText(outcome.text.slice(0, 500));
  writeLines(
    io.stdout,
    `Answer: HTTP status ${outcome.status} after ${took}`,
    ...(text === "" ? [] : [`  ${text}`]),
    isTaken(outcome.status)
      ? "It was taken."
      : outcome.status === 410
        ? "It was not taken, and would be given up: 410 means that nobody is there any more."
        : "It was not taken, and would be posted again: only a status from 200 to 299 takes it. Redirects are not followed.",
    "",
  );
}

function isTaken(status: number): boolean {
  return status >= 200 && status < 300;
}

const howToVerify = [
  "How a receiver checks it, here in JavaScript; https://www.standardwebhooks.com has the same for other languages:",
  '  import { Webhook } from "standardwebhooks";',
  "  const message = new Webhook(secret).verify(rawBody, headers); // throws unless the signature is ours, and recent",
  'By hand: one of the signatures is "v1," and the base64 of HMAC-SHA256 over "ID.TIMESTAMP.BODY" (the headers webhook-id',
  'and webhook-timestamp, and the body as it came), keyed with the bytes that stand in base64 behind "whsec_". Refuse what is',
  "more than five minutes old, and remember ids: a message may come twice.",
];
