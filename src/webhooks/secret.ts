/** A secret that signs: between 24 and 64 bytes. */
export type WebhookSecret = Uint8Array;

const prefix = "whsec_";
const leastBytes = 24;
const mostBytes = 64;

/**
 * Reads a secret as standard-webhooks writes it: "whsec_" and its bytes in base64.
 *
 * @throws RangeError that does not repeat what it was given
 */
export function parseSecret(text: string): WebhookSecret {
  const base64 = text.startsWith(prefix) ? text.slice(prefix.length) : "";
  const bytes = /^[A-Za-z0-9+/]+={0,2}$/.test(base64) ? Buffer.from(base64, "base64") : Buffer.alloc(0);
  if (bytes.length < leastBytes || bytes.length > mostBytes) {
    throw new RangeError(
      `a secret is "${prefix}" and ${leastBytes} to ${mostBytes} bytes in base64; make one with: retake webhook secret`,
    );
  }
  return bytes;
}

/** The text of a secret. */
export function formatSecret(secret: WebhookSecret): string {
  return `${prefix}${Buffer.from(secret).toString("base64")}`;
}
