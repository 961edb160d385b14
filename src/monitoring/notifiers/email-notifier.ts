import { readFile } from "node:fs/promises";
import { createTransport } from "nodemailer";
import type { Clock } from "../../clock.ts";
import { within } from "../../runs/index.ts";
import { emailText } from "./email-text.ts";
import type { Notifier, SendOutcome } from "./notifier.ts";
import type { NotifierSecret } from "./notifier-secret.ts";

export interface EmailNotifierOptions {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly security: "starttls" | "tls" | "none";
  /** Empty for those that Node trusts. */
  readonly caFile: string;
  readonly credentials?: { readonly username: string; readonly password: NotifierSecret };
  readonly from: string;
  readonly to: readonly string[];
  readonly externalUrl: string;
  readonly timeoutMs: number;
  readonly maxPerMinute: number;
  readonly clock: Clock;
}

/** Sends mail by SMTP, each with a connection of its own: there are few of them. */
export function createEmailNotifier(options: EmailNotifierOptions): Notifier {
  const { name, maxPerMinute, clock, timeoutMs, from, to, externalUrl } = options;
  return {
    ...{ name, most: 50, maxPerMinute, acknowledges: false, forPeople: true },
    async send({ notices, id, signal }) {
      try {
        const transport = createTransport(await transportOptions(options));
        const { subject, text } = emailText(notices, externalUrl);
        // Mail programs know a message that comes twice by its id.
        const messageId = `<${id}@retake>`;
        try {
          return await within(
            clock,
            timeoutMs,
            async () => {
              await transport.sendMail({ from, to: [...to], subject, text, messageId });
              return { kind: "delivered" };
            },
            signal,
          );
        } finally {
          transport.close();
        }
      } catch (error) {
        return outcomeOf(error, timeoutMs);
      }
    },
  };
}

async function transportOptions({ host, port, security, caFile, credentials, timeoutMs }: EmailNotifierOptions) {
  const ca = caFile === "" ? undefined : await readFile(caFile, "utf8");
  return {
    host,
    port,
    secure: security === "tls",
    // Without it a man in the middle could have everything in plain text.
    requireTLS: security === "starttls",
    ignoreTLS: security === "none",
    // Whoever waits no longer must not leave a connection behind.
    ...{ connectionTimeout: timeoutMs, greetingTimeout: timeoutMs, socketTimeout: timeoutMs, dnsTimeout: timeoutMs },
    ...(ca !== undefined && { tls: { ca } }),
    ...(credentials && { auth: { user: credentials.username, pass: await credentials.password.get() } }),
    // What it sends comes from rules, and must not name files or URLs to attach.
    ...{ disableFileAccess: true, disableUrlAccess: true },
  };
}

function outcomeOf(error: unknown, timeoutMs: number): SendOutcome {
  const { name, code, responseCode, message } = error as Error & { code?: unknown; responseCode?: number };
  if (name === "ConnectError") return { kind: "failed", error: `the mail server took longer than ${timeoutMs} ms` };
  const isRefused = (code === "EENVELOPE" || code === "EMESSAGE") && responseCode !== undefined && responseCode >= 500;
  return { kind: isRefused ? "refused" : "failed", error: message };
}
