import { describe, expect, it } from "vitest";
import { pagerdutyEvent } from "../../../src/monitoring/notifiers/pagerduty-event.ts";
import { slackPayload } from "../../../src/monitoring/notifiers/slack-payload.ts";
import { webhookPayload } from "../../../src/monitoring/notifiers/webhook-payload.ts";
import { pagerdutySchema, slackSchema, webhookSchema } from "./documented-schemas.ts";
import { notice } from "./notices.ts";

// biome-ignore lint/suspicious/noExplicitAny: JSON, broken by the test
type Break = (body: any) => unknown;

const bodies = {
  pagerduty: () => pagerdutyEvent(notice(), { routingKey: "R0".repeat(16), source: "host-1", externalUrl: "" }),
  slack: () => slackPayload([notice()]),
  webhook: () => webhookPayload([notice()], { externalUrl: "", receiver: "ops" }),
};
const schemas = { pagerduty: pagerdutySchema, slack: slackSchema, webhook: webhookSchema };

describe("a receiver's schema", () => {
  it.each<[keyof typeof bodies, string, Break]>([
    ["pagerduty", "event.payload.summary is missing", (body) => delete body.payload.summary],
    ["pagerduty", "event.payload.summary has 1025", (body) => (body.payload.summary = "x".repeat(1_025))],
    ["pagerduty", 'event.payload.severity is "page"', (body) => (body.payload.severity = "page")],
    ["pagerduty", "event.payload.source has 0", (body) => (body.payload.source = "")],
    ["pagerduty", "event.payload.timestamp", (body) => (body.payload.timestamp = 5)],
    ["pagerduty", "event.dedup_key has 256", (body) => (body.dedup_key = "x".repeat(256))],
    ["pagerduty", "event.routing_key", (body) => (body.routing_key = "short")],
    ["pagerduty", 'event.event_action is "close"', (body) => (body.event_action = "close")],
    ["pagerduty", "event.clientUrl is not known", (body) => (body.clientUrl = "")],
    ["slack", "message.text is missing", (body) => delete body.text],
    ["slack", "message.text is not escaped", (body) => (body.text = "a <b>")],
    ["slack", "message.text has 40001", (body) => (body.text = "x".repeat(40_001))],
    ["slack", "message.attachments has 101", (body) => (body.attachments = Array(101).fill(body.attachments[0]))],
    ["slack", "message.attachments[0].color", (body) => (body.attachments[0].color = "red")],
    ["slack", "message.attachments[0].ts", (body) => (body.attachments[0].ts = "now")],
    ["slack", "message.attachments[0].fields[0].short", (body) => (body.attachments[0].fields[0].short = 1)],
    ["webhook", "payload.version", (body) => (body.version = 4)],
    ["webhook", "payload.groupKey is missing", (body) => delete body.groupKey],
    ["webhook", "payload.truncatedAlerts", (body) => (body.truncatedAlerts = "0")],
    ["webhook", "payload.commonLabels.queue is no text", (body) => (body.commonLabels.queue = 5)],
    ["webhook", "payload.alerts has 0", (body) => (body.alerts = [])],
    ["webhook", 'payload.alerts[0].status is "over"', (body) => (body.alerts[0].status = "over")],
    ["webhook", "payload.alerts[0].endsAt", (body) => (body.alerts[0].endsAt = null)],
  ])("of %s says that %s", (kind, reason, broken) => {
    const body = bodies[kind]();
    expect(schemas[kind](body)).toEqual([]);
    broken(body);
    expect(schemas[kind](body)).toContainEqual(expect.stringContaining(reason));
  });
});
