import { describe, expect, it } from "vitest";
import { alertmanagerAlerts } from "../../../src/monitoring/notifiers/alertmanager-alerts.ts";
import { pagerdutyEvent } from "../../../src/monitoring/notifiers/pagerduty-event.ts";
import { slackPayload } from "../../../src/monitoring/notifiers/slack-payload.ts";
import { webhookPayload } from "../../../src/monitoring/notifiers/webhook-payload.ts";
import { notice } from "./notices.ts";

const origin = { externalUrl: "https://retake.example", receiver: "ops" };
const ended = { status: "resolved", endMs: Date.UTC(2026, 0, 1, 1) } as const;

describe("webhookPayload", () => {
  it("is Alertmanager's, version 4", () => {
    expect(
      webhookPayload(
        [notice(), notice({ labels: { alertname: "Deep", severity: "critical", queue: "b" }, ...ended })],
        origin,
      ),
    ).toEqual({
      ...{ version: "4", groupKey: '{}:{alertname="Deep"}', truncatedAlerts: 0, status: "firing", receiver: "ops" },
      groupLabels: { alertname: "Deep" },
      commonLabels: { alertname: "Deep", severity: "critical" },
      commonAnnotations: { summary: "12 runs wait", description: "More than ever." },
      externalURL: "https://retake.example",
      alerts: [
        {
          ...{ status: "firing", startsAt: "2026-01-01T00:00:00.000Z", endsAt: "0001-01-01T00:00:00Z" },
          ...{ labels: notice().labels, annotations: notice().annotations, generatorURL: "https://retake.example" },
          fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
        },
        expect.objectContaining({ status: "resolved", endsAt: "2026-01-01T01:00:00.000Z" }),
      ],
    });
    expect(webhookPayload([notice(ended)], origin)).toMatchObject({ status: "resolved" });
  });
});

describe("slackPayload", () => {
  it("has an attachment for each notice, and cuts what is too long or too many", () => {
    const one = slackPayload([notice({ annotations: { summary: "<a & b>" } })]) as {
      attachments: Record<string, unknown>[];
      text: string;
    };
    expect(one.text).toBe("[CRITICAL] &lt;a &amp; b&gt;");
    expect(one.attachments[0]).toMatchObject({
      color: "#a30200",
      title: "[CRITICAL] &lt;a &amp; b&gt;",
      ts: 1_767_225_600,
    });
    const many = slackPayload(
      Array.from({ length: 30 }, () => notice({ ...ended, annotations: { summary: "x".repeat(5_000) } })),
    );
    const { attachments, text } = many as typeof one;
    expect(text).toBe("30 alerts, the first 10 of which are shown");
    expect(attachments).toHaveLength(10);
    for (const { title, color } of attachments) {
      expect(String(title).length).toBeLessThanOrEqual(1_024);
      expect(color).toBe("#2eb886");
    }
  });
});

describe("a text that Slack takes", () => {
  it("is cut before a character that is escaped, never within", () => {
    for (let before = 0; before < 5; before++) {
      const summary = `${"x".repeat(before)}${"&".repeat(1_000)}`;
      const { text } = slackPayload([notice({ annotations: { summary } })]) as { text: string };
      expect(text.length).toBeLessThanOrEqual(1_024);
      expect(text).toMatch(/^\[CRITICAL\] x*(&amp;)+…$/);
    }
  });
});

describe("pagerdutyEvent", () => {
  const about = { routingKey: "R0".repeat(16), source: "host-1", externalUrl: "" };

  it("triggers, acknowledges and resolves one incident", () => {
    const [first, acknowledged, over] = [notice(), notice({ acknowledgedBy: "ada" }), notice(ended)].map((one) =>
      pagerdutyEvent(one, about),
    );
    expect(first).toMatchObject({
      ...{ routing_key: about.routingKey, event_action: "trigger", dedup_key: notice().fingerprint },
      payload: {
        summary: "[CRITICAL] 12 runs wait",
        source: "host-1",
        severity: "critical",
        component: "a.v1.Video/Paint",
      },
    });
    expect(acknowledged).toEqual({
      routing_key: about.routingKey,
      event_action: "acknowledge",
      dedup_key: notice().fingerprint,
    });
    expect(over).toEqual({ routing_key: about.routingKey, event_action: "resolve", dedup_key: notice().fingerprint });
  });

  it("keeps within what PagerDuty takes", () => {
    const long = pagerdutyEvent(notice({ annotations: { summary: "y".repeat(5_000) } }), about) as {
      payload: { summary: string };
      dedup_key: string;
    };
    expect(long.payload.summary.length).toBe(1_024);
    expect(long.dedup_key.length).toBeLessThanOrEqual(255);
  });
});

describe("alertmanagerAlerts", () => {
  const nowMs = Date.UTC(2026, 0, 1, 2);
  const options = { nowMs, repeatMs: 60_000, externalUrl: "" };

  it("says until when to believe it", () => {
    expect(alertmanagerAlerts([notice()], options)).toEqual([
      {
        ...{ labels: notice().labels, annotations: notice().annotations },
        ...{ startsAt: "2026-01-01T00:00:00.000Z", endsAt: "2026-01-01T02:04:00.000Z" },
      },
    ]);
    expect(alertmanagerAlerts([notice(ended)], options)).toMatchObject([{ endsAt: "2026-01-01T01:00:00.000Z" }]);
  });

  it("says that what it was told with before is over", () => {
    const labels = { ...notice().labels, severity: "warning" };
    const endMs = Date.UTC(2026, 0, 1, 1, 30);
    expect(alertmanagerAlerts([notice({ before: [{ labels, endMs }] })], options)).toMatchObject([
      { labels: notice().labels, endsAt: "2026-01-01T02:04:00.000Z" },
      { labels, startsAt: "2026-01-01T00:00:00.000Z", endsAt: "2026-01-01T01:30:00.000Z" },
    ]);
  });
});
