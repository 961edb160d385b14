import { createHmac } from "node:crypto";
import type { WebhookSecret } from "./secret.ts";

/** The headers that tell a receiver what it has got, from whom and when, by the rules of standard-webhooks. */
export interface SignatureHeaders {
  readonly "webhook-id": string;
  readonly "webhook-timestamp": string;
  readonly "webhook-signature": string;
}

/** Signs a message with every secret, so that a receiver that knows one of them can check it. */
export function signWebhook(
  id: string,
  nowMs: number,
  body: string,
  secrets: readonly WebhookSecret[],
): SignatureHeaders {
  const timestamp = String(Math.floor(nowMs / 1000));
  const signatures = secrets.map(
    (secret) => `v1,${createHmac("sha256", secret).update(`${id}.${timestamp}.${body}`).digest("base64")}`,
  );
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures.join(" ") };
}
