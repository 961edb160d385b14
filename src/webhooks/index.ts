export { isAllowedUrl } from "./allowed-urls.ts";
export { endPayload, payloadJson } from "./payload.ts";
export { type PostOutcome, post } from "./post.ts";
export { formatSecret, parseSecret, type WebhookSecret } from "./secret.ts";
export { type Environment, readSecrets, WebhookSecrets } from "./secrets.ts";
export { type SignatureHeaders, signWebhook } from "./sign.ts";
export { WebhookOutbox, type WebhookOutboxOptions, type WebhookOutcome } from "./webhook-outbox.ts";
