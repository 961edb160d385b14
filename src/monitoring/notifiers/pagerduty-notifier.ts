import type { Clock } from "../../clock.ts";
import type { Notifier } from "./notifier.ts";
import type { NotifierSecret } from "./notifier-secret.ts";
import { pagerdutyEvent } from "./pagerduty-event.ts";
import { postNotice } from "./post-notice.ts";

export interface PagerDutyNotifierOptions {
  readonly name: string;
  readonly url: string;
  readonly routingKey: NotifierSecret;
  /** What alerts are about, to people: the name of this server. */
  readonly source: string;
  readonly externalUrl: string;
  readonly timeoutMs: number;
  readonly maxPerMinute: number;
  readonly clock: Clock;
}

/** Makes, acknowledges and resolves incidents by PagerDuty's Events API v2. */
export function createPagerDutyNotifier(options: PagerDutyNotifierOptions): Notifier {
  const { name, url, routingKey: secret, source, externalUrl, timeoutMs, maxPerMinute, clock } = options;
  return {
    ...{ name, most: 1, maxPerMinute, acknowledges: true, forPeople: true },
    async send({ notices: [notice], signal }) {
      if (notice === undefined) return { kind: "delivered" };
      let routingKey: string;
      try {
        routingKey = await secret.get();
      } catch (error) {
        return { kind: "failed", error: (error as Error).message };
      }
      const body = pagerdutyEvent(notice, { routingKey, source, externalUrl });
      return postNotice({ url, body, timeoutMs, clock, signal, isRefusal });
    },
  };
}

/** Its documentation: what is answered otherwise than 429 or 5xx must not be sent again. */
function isRefusal(status: number): boolean {
  return status !== 429 && status < 500;
}
