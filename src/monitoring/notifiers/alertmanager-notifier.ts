import type { Clock } from "../../clock.ts";
import { alertmanagerAlerts } from "./alertmanager-alerts.ts";
import type { Notifier } from "./notifier.ts";
import type { NotifierSecret } from "./notifier-secret.ts";
import { postNotice } from "./post-notice.ts";

export interface AlertmanagerNotifierOptions {
  readonly name: string;
  /** Without `/api/v2/alerts`. */
  readonly url: string;
  readonly basic?: { readonly username: string; readonly password: NotifierSecret };
  readonly bearerToken?: NotifierSecret;
  readonly externalUrl: string;
  readonly timeoutMs: number;
  readonly maxPerMinute: number;
  readonly clock: Clock;
}

/** As often as Prometheus does. */
export const alertmanagerRepeatMs = 60_000;

/** Hands alerts to an Alertmanager, again and again while they fire. */
export function createAlertmanagerNotifier(options: AlertmanagerNotifierOptions): Notifier {
  const { name, externalUrl, timeoutMs, maxPerMinute, clock } = options;
  const url = `${options.url.replace(/\/+$/, "")}/api/v2/alerts`;
  return {
    ...{ name, most: 200, maxPerMinute, acknowledges: false, forPeople: false, heartbeatMs: alertmanagerRepeatMs },
    async send({ notices, signal }) {
      let authorization: string | undefined;
      try {
        authorization = await credentials(options);
      } catch (error) {
        return { kind: "failed", error: (error as Error).message };
      }
      const body = alertmanagerAlerts(notices, { nowMs: clock.now(), repeatMs: alertmanagerRepeatMs, externalUrl });
      const headers = authorization === undefined ? {} : { authorization };
      return postNotice({ url, headers, body, timeoutMs, clock, signal });
    },
  };
}

async function credentials({ basic, bearerToken }: AlertmanagerNotifierOptions): Promise<string | undefined> {
  if (bearerToken !== undefined) return `Bearer ${await bearerToken.get()}`;
  if (basic === undefined) return undefined;
  return `Basic ${Buffer.from(`${basic.username}:${await basic.password.get()}`).toString("base64")}`;
}
