import type { Clock } from "../../clock.ts";
import { signWebhook, type WebhookSecrets } from "../../webhooks/index.ts";
import type { Notifier } from "./notifier.ts";
import { postNotice } from "./post-notice.ts";
import { webhookPayload } from "./webhook-payload.ts";

export interface WebhookNotifierOptions {
  readonly name: string;
  readonly url: string;
  /** What signs; absent for nothing. */
  readonly secrets?: WebhookSecrets;
  readonly externalUrl: string;
  readonly timeoutMs: number;
  readonly maxPerMinute: number;
  readonly clock: Clock;
}

/** Posts what Alertmanager posts, signed as standard-webhooks has it. */
export function createWebhookNotifier(options: WebhookNotifierOptions): Notifier {
  const { name, url, secrets, externalUrl, timeoutMs, maxPerMinute, clock } = options;
  return {
    ...{ name, most: 100, maxPerMinute, acknowledges: false, forPeople: false },
    groupOf: ({ labels }) => labels["alertname"] ?? "",
    async send({ notices, id, signal }) {
      const body = webhookPayload(notices, { externalUrl, receiver: name });
      const headers = secrets
        ? { ...signWebhook(id, clock.now(), JSON.stringify(body), await secrets.get()) }
        : { "webhook-id": id };
      return postNotice({ url, headers, body, timeoutMs, clock, signal });
    },
  };
}
