import type { Clock } from "../../clock.ts";
import type { Notifier } from "./notifier.ts";
import type { NotifierSecret } from "./notifier-secret.ts";
import { postNotice } from "./post-notice.ts";
import { slackPayload } from "./slack-payload.ts";

export interface SlackNotifierOptions {
  readonly name: string;
  readonly url: NotifierSecret;
  readonly timeoutMs: number;
  readonly maxPerMinute: number;
  readonly clock: Clock;
}

/** Posts to an incoming webhook of Slack. */
export function createSlackNotifier(options: SlackNotifierOptions): Notifier {
  const { name, url: secret, timeoutMs, maxPerMinute, clock } = options;
  return {
    ...{ name, most: 50, maxPerMinute, acknowledges: false, forPeople: true },
    async send({ notices, signal }) {
      let url: string;
      try {
        url = await secret.get();
      } catch (error) {
        return { kind: "failed", error: (error as Error).message };
      }
      if (!/^https?:\/\//.test(url) || !URL.canParse(url)) return { kind: "failed", error: "its secret is no URL" };
      return withoutSecret(url, await postNotice({ url, body: slackPayload(notices), timeoutMs, clock, signal }));
    },
  };
}

/** Whoever knows the URL can post to it. */
function withoutSecret<T extends object>(url: string, outcome: T): T {
  return "error" in outcome && typeof outcome.error === "string"
    ? { ...outcome, error: outcome.error.replaceAll(url, "its URL") }
    : outcome;
}
