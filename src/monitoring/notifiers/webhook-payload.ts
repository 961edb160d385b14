import { createHash } from "node:crypto";
import type { Labels } from "../series/series.ts";
import type { Notice } from "./notice.ts";

/** Where people find out more; empty for nowhere. */
export interface Origin {
  /** The URL of this server's web port. */
  readonly externalUrl: string;
  /** The notifier's name: what Alertmanager calls the receiver. */
  readonly receiver: string;
}

/**
 * Alertmanager's webhook payload, version 4, so that receivers of Alertmanager take it: notices of one rule at once, which is
 * their group.
 */
export function webhookPayload(notices: readonly Notice[], { externalUrl, receiver }: Origin): object {
  const alerts = notices.map(webhookAlert(externalUrl));
  const groupLabels = { alertname: notices[0]?.labels["alertname"] ?? "" };
  return {
    version: "4",
    groupKey: `{}:{alertname=${JSON.stringify(groupLabels.alertname)}}`,
    truncatedAlerts: 0,
    status: alerts.some(({ status }) => status === "firing") ? "firing" : "resolved",
    receiver,
    groupLabels,
    commonLabels: shared(notices.map(({ labels }) => labels)),
    commonAnnotations: shared(notices.map(({ annotations }) => annotations)),
    externalURL: externalUrl,
    alerts,
  };
}

function webhookAlert(externalUrl: string) {
  return ({ status, labels, annotations, startMs, endMs, fingerprint }: Notice) => ({
    status,
    labels,
    annotations,
    startsAt: new Date(startMs).toISOString(),
    // As Go writes no time at all.
    endsAt: endMs === undefined ? "0001-01-01T00:00:00Z" : new Date(endMs).toISOString(),
    generatorURL: externalUrl,
    // Alertmanager's has sixteen digits.
    fingerprint: createHash("sha256").update(fingerprint).digest("hex").slice(0, 16),
  });
}

/** What all of them have alike. */
function shared(all: readonly Labels[]): Labels {
  const [first = {}, ...others] = all;
  return Object.fromEntries(
    Object.entries(first).filter(([name, value]) => others.every((one) => one[name] === value)),
  );
}
