import { readFileSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { SMTPServer } from "smtp-server";
import { Webhook } from "standardwebhooks";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import type { ResolvedNotifierKind } from "../../../src/config/index.ts";
import { createNotifiers } from "../../../src/monitoring/notifiers/create-notifier.ts";
import { fingerprintOf, type Notice } from "../../../src/monitoring/notifiers/notice.ts";
import type { Notifier } from "../../../src/monitoring/notifiers/notifier.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createAuthority } from "../../authority.ts";
import { temporaryDirectory } from "../../runs/sqlite/temporary-directory.ts";
import { pagerdutySchema, type SchemaCheck, slackSchema, webhookSchema } from "./documented-schemas.ts";
import { notice } from "./notices.ts";
import { type Received, startReceiver } from "./receiver.ts";

const env = {
  KEY: "R0UT1NGKEY".padEnd(32, "0"),
  SIGN: `whsec_${Buffer.alloc(32, 7).toString("base64")}`,
  PASSWORD: "hush",
};

async function create(what: ResolvedNotifierKind, more: Record<string, string> = {}): Promise<Notifier> {
  const config = { name: "ops", what, timeoutMs: 2_000, maxPerMinute: 60 };
  const services = { env: { ...env, ...more }, source: "studio-1", externalUrl: "https://retake.example" };
  const [made] = await createNotifiers([config], { ...services, clock: systemClock, log: silentLogger });
  return made as Notifier;
}

const send = (notifier: Notifier, ...notices: Notice[]) =>
  notifier.send({ notices, id: "alert_1", signal: new AbortController().signal });

const over = notice({ status: "resolved", endMs: Date.UTC(2026, 0, 2) });
const secret = (name: string) => ({ kind: "environment", name }) as const;

describe("a webhook notifier", () => {
  it("signs what Alertmanager would post", async () => {
    const { url, received } = await startReceiver({ status: 200 }, webhookSchema);
    const notifier = await create({ kind: "webhook", url: `${url}/hook`, secrets: [secret("SIGN")] });
    expect(await send(notifier, notice())).toEqual({ kind: "delivered" });
    const [{ text = "", headers = {}, body } = {}] = received as Partial<Received>[];
    expect(() => new Webhook(env.SIGN).verify(text, headers as Record<string, string>)).not.toThrow();
    expect(() => new Webhook(env.SIGN).verify(`${text} `, headers as Record<string, string>)).toThrow();
    expect(headers["webhook-id"]).toBe("alert_1");
    expect(body).toMatchObject({
      version: "4",
      receiver: "ops",
      externalURL: "https://retake.example",
      status: "firing",
    });
  });

  it("waits as long as it is asked to, and gives up what is no message to the receiver", async () => {
    const later = { status: 503, headers: { "retry-after": "7" }, text: "later" };
    const receiver = await startReceiver(later, webhookSchema);
    const notifier = await create({ kind: "webhook", url: receiver.url, secrets: [] });
    expect(await send(notifier, notice())).toEqual({
      kind: "failed",
      error: "it answered 503: later",
      retryAfterMs: 7_000,
    });
    receiver.answer.status = 400;
    expect(await send(notifier, notice())).toMatchObject({ kind: "refused" });
    receiver.answer.status = 404;
    expect(await send(notifier, notice())).toMatchObject({ kind: "failed" });
  });
});

describe("a Slack notifier", () => {
  it("posts to the URL that is its secret, and never tells it", async () => {
    const { url, received } = await startReceiver({ status: 200 }, slackSchema);
    const notifier = await create({ kind: "slack", url: secret("URL") }, { URL: `${url}/services/T/B/xyz\n` });
    expect(await send(notifier, notice(), over)).toEqual({ kind: "delivered" });
    expect(received[0]).toMatchObject({ path: "/services/T/B/xyz", body: { attachments: [{}, {}] } });
    const gone = await create({ kind: "slack", url: secret("URL") }, { URL: "http://127.0.0.1:1/services/xyz" });
    const outcome = await send(gone, notice());
    expect(outcome.kind).toBe("failed");
    expect(JSON.stringify(outcome)).not.toContain("xyz");
  });
});

describe("a PagerDuty notifier", () => {
  it("triggers, acknowledges and resolves one incident", async () => {
    const { url, received } = await startReceiver({ status: 202 }, pagerdutySchema);
    const notifier = await create({ kind: "pagerduty", url: `${url}/v2/enqueue`, routingKey: secret("KEY") });
    for (const each of [notice(), notice({ acknowledgedBy: "ada" }), over]) {
      expect(await send(notifier, each)).toEqual({ kind: "delivered" });
    }
    const events = received.map(({ body }) => body as Record<string, unknown>);
    expect(events.map((event) => event["event_action"])).toEqual(["trigger", "acknowledge", "resolve"]);
    expect(new Set(events.map((event) => event["dedup_key"])).size).toBe(1);
    expect(events.every((event) => event["routing_key"] === env.KEY)).toBe(true);
    expect(events[0]).toMatchObject({ payload: { source: "studio-1", severity: "critical" } });
  });

  it("sends again on 429 and 5xx alone", async () => {
    const receiver = await startReceiver({ status: 202 }, pagerdutySchema);
    const notifier = await create({ kind: "pagerduty", url: receiver.url, routingKey: secret("KEY") });
    const kinds: string[] = [];
    for (const status of [429, 500, 503, 400, 403, 404]) {
      receiver.answer.status = status;
      kinds.push((await send(notifier, notice())).kind);
    }
    expect(kinds).toEqual(["failed", "failed", "failed", "refused", "refused", "refused"]);
  });
});

describe("what notifiers send", () => {
  const kinds: readonly [string, ResolvedNotifierKind, SchemaCheck][] = [
    ["webhook", { kind: "webhook", url: "URL", secrets: [] }, webhookSchema],
    ["Slack", { kind: "slack", url: secret("URL") }, slackSchema],
    ["PagerDuty", { kind: "pagerduty", url: "URL", routingKey: secret("KEY") }, pagerdutySchema],
  ];
  const long = "<&>".repeat(20_000);
  const odd = [
    notice({ annotations: {} }),
    notice({ annotations: { summary: long, description: long }, value: Number.NaN }),
    notice({ severity: "warning", labels: { alertname: long, severity: "warning", queue: "\ud800" } }),
    notice({ fingerprint: fingerprintOf(long, long) }),
    notice({ acknowledgedBy: "ada" }),
    over,
  ];

  it.each(kinds)("is taken by a %s receiver, whatever the notice holds", async (_, kind, schema) => {
    const { url } = await startReceiver({ status: 200 }, schema);
    const at = kind.kind === "slack" ? kind : { ...kind, url };
    const notifier = await create(at as ResolvedNotifierKind, { URL: url });
    for (const each of odd) expect(await send(notifier, each)).toEqual({ kind: "delivered" });
  });

  it.each<[string, ResolvedNotifierKind, SchemaCheck, RegExp]>([
    ["an Alertmanager", { kind: "webhook", url: "URL", secrets: [] }, slackSchema, /message\.text is missing/],
    [
      "a PagerDuty",
      { kind: "pagerduty", url: "URL", routingKey: secret("SIGN") },
      pagerdutySchema,
      /event\.routing_key/,
    ],
  ])("is refused with the reason where it is not as %s receiver has it", async (_, kind, schema, reason) => {
    const { url } = await startReceiver({ status: 200 }, schema);
    const notifier = await create({ ...kind, url } as ResolvedNotifierKind);
    const error = expect.stringMatching(reason);
    expect(await send(notifier, notice())).toEqual({ kind: "refused", error });
  });
});

describe("an Alertmanager notifier", () => {
  it.each([
    [{ basic: { username: "retake", password: secret("PASSWORD") } }, `Basic ${btoa("retake:hush")}`],
    [{ bearerToken: secret("PASSWORD") }, "Bearer hush"],
    [{}, undefined],
  ])("shows who it is by %j", async (credentials, authorization) => {
    const { url, received } = await startReceiver({ status: 200 });
    const notifier = await create({ kind: "alertmanager", url: `${url}/am/`, ...credentials });
    expect(await send(notifier, notice())).toEqual({ kind: "delivered" });
    expect(received[0]?.path).toBe("/am/api/v2/alerts");
    expect(received[0]?.headers.authorization).toBe(authorization);
    const [alert] = (received[0]?.body ?? []) as { endsAt: string }[];
    expect(Date.parse(alert?.endsAt ?? "") - Date.now()).toBeGreaterThan(200_000);
  });
});

describe("a mail notifier", () => {
  async function startMailServer(options: { tls: boolean }) {
    const directory = temporaryDirectory();
    const authority = createAuthority();
    const leaf = authority.sign("/CN=localhost", "DNS:localhost");
    const caFile = join(directory, "ca.pem");
    writeFileSync(caFile, authority.certificate);
    const mails: { text: string; secure: boolean; user: unknown; to: string[] }[] = [];
    const server = new SMTPServer({
      ...(options.tls
        ? { key: leaf.key, cert: leaf.certificate }
        : { hideSTARTTLS: true, disabledCommands: ["STARTTLS"] }),
      ...{ authOptional: true, logger: false },
      onAuth: ({ username, password }, _, done) => {
        if (username === "retake" && password === "hush") done(null, { user: username });
        else done(new Error("wrong"));
      },
      onData: (stream, session, done) => {
        const chunks: Buffer[] = [];
        stream.on("data", (chunk: Buffer) => chunks.push(chunk));
        stream.on("end", () => {
          const to = session.envelope.rcptTo.map(({ address }) => address);
          mails.push({ text: Buffer.concat(chunks).toString(), secure: session.secure, user: session.user, to });
          done();
        });
      },
    });
    server.on("error", () => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
    const { port } = server.server.address() as AddressInfo;
    const mail = { kind: "email", host: "localhost", port, security: "starttls", caFile } as const;
    return { mails, mail: { ...mail, from: "Retake <retake@studio.example>", to: ["ops@studio.example"] } };
  }

  it("sends by STARTTLS, with its credentials", async () => {
    const { mails, mail } = await startMailServer({ tls: true });
    const credentials = { username: "retake", password: secret("PASSWORD") };
    const notifier = await create({ ...mail, credentials });
    expect(await send(notifier, notice(), over)).toEqual({ kind: "delivered" });
    expect(mails).toMatchObject([{ secure: true, user: "retake", to: ["ops@studio.example"] }]);
    expect(mails[0]?.text).toMatch(/^Subject: 2 alerts: \[CRITICAL\] 12 runs wait\r$/m);
    expect(mails[0]?.text).toContain("Message-ID: <alert_1@retake>");
    const wrong = await create({ ...mail, credentials }, { PASSWORD: "wrong" });
    const refused = await send(wrong, notice());
    expect(refused.kind).toBe("failed");
    expect(JSON.stringify(refused)).not.toContain('"wrong"');
  });

  it("sends nothing where the connection cannot be kept from others, or the server is another", async () => {
    const plain = await startMailServer({ tls: false });
    expect(await send(await create(plain.mail), notice())).toMatchObject({ kind: "failed" });
    const other = await startMailServer({ tls: true });
    expect(await send(await create({ ...other.mail, caFile: "" }), notice())).toMatchObject({ kind: "failed" });
    expect([...plain.mails, ...other.mails]).toEqual([]);
    const open = await create({ ...plain.mail, security: "none", caFile: "" });
    expect(await send(open, notice())).toEqual({ kind: "delivered" });
  });
});

describe("createNotifiers", () => {
  it("names the notifier whose secret is missing, and repeats no secret", async () => {
    const file = join(temporaryDirectory(), "key");
    writeFileSync(file, "one\ntwo\n");
    expect(readFileSync(file, "utf8")).toContain("one");
    await expect(create({ kind: "slack", url: secret("NOWHERE") })).rejects.toThrow(
      /monitoring\.notifiers\[0\]\.slack: .*NOWHERE is not set/,
    );
    const url = "https://events.example";
    const error = await create({ kind: "pagerduty", url, routingKey: { kind: "file", path: file } }).catch(String);
    expect(error).toContain("more than one line");
    expect(error).not.toContain("two");
    await expect(create({ kind: "webhook", url, secrets: [secret("KEY")] })).rejects.toThrow(
      /monitoring\.notifiers\[0\]\.webhook\.secrets\[0\]/,
    );
  });
});
