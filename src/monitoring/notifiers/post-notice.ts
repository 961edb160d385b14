import type { Clock } from "../../clock.ts";
import { post } from "../../webhooks/index.ts";
import type { SendOutcome } from "./notifier.ts";

export interface NoticePost {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: object;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Whether an answer means that the same message will never be taken. */
  readonly isRefusal?: (status: number) => boolean;
}

/** No receiver may keep us from telling it anything for longer than that. */
const longestRetryAfterMs = 3_600_000;

/** Of an answer, for people. */
const longestAnswer = 200;

/** Posts JSON, and tells what that came to. Never rejects. */
export async function postNotice(request: NoticePost): Promise<SendOutcome> {
  const { url, headers = {}, body, isRefusal = isMessageRefused, ...rest } = request;
  const outcome = await post({ url, headers, body: JSON.stringify(body), setting: "timeout of the notifier", ...rest });
  if (outcome.kind === "unanswered") return { kind: "failed", error: outcome.error };
  const { status, text, retryAfterMs } = outcome;
  if (status >= 200 && status < 300) return { kind: "delivered" };
  const answer = text.replace(/\s+/g, " ").trim().slice(0, longestAnswer).toWellFormed();
  const error = `it answered ${status}${answer === "" ? "" : `: ${answer}`}`;
  if (isRefusal(status)) return { kind: "refused", error };
  return {
    ...{ kind: "failed", error },
    ...(retryAfterMs !== undefined && { retryAfterMs: Math.min(retryAfterMs, longestRetryAfterMs) }),
  };
}

/** Others speak of the receiver, not of the message: it may be there later, or its credentials may be mended. */
function isMessageRefused(status: number): boolean {
  return status === 400 || status === 413 || status === 422;
}
