import type { Clock } from "../clock.ts";
import { retryAfterMs } from "../runs/index.ts";

/** What came of a POST. */
export type PostOutcome =
  | {
      readonly kind: "answered";
      readonly status: number;
      /** What the receiver asks to wait before the next one. */
      readonly retryAfterMs: number | undefined;
      /** The beginning of its answer. */
      readonly text: string;
      readonly elapsedMs: number;
    }
  | { readonly kind: "unanswered"; readonly error: string; readonly elapsedMs: number };

export interface PostRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeoutMs: number;
  /** Where that is configured. Default: `webhooks.timeout`. */
  readonly setting?: string;
  readonly clock: Clock;
  /** Aborted when the server stops. */
  readonly signal?: AbortSignal;
}

/** Of an answer nobody needs more. The rest is not read: its connection is closed. */
const longestAnswer = 4096;

/** Posts a message once: redirects are not followed, and its answer is read up to a limit. Never rejects. */
export async function post(request: PostRequest): Promise<PostOutcome> {
  const { url, headers, body, timeoutMs, setting = "webhooks.timeout", clock, signal } = request;
  const startMs = clock.monotonic();
  const elapsed = (): number => clock.monotonic() - startMs;
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(new Error("this server stopped before an answer came"));
  const timer = clock.setTimeout(
    () => stop.abort(new Error(`no whole answer within ${timeoutMs} ms (${setting})`)),
    timeoutMs,
  );
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", "user-agent": "retake", ...headers },
      body,
      redirect: "manual",
      signal: stop.signal,
    });
    const text = await readStart(response.body);
    return {
      kind: "answered",
      status: response.status,
      retryAfterMs: retryAfterMs(response.headers.get("retry-after") ?? "", clock.now()),
      text,
      elapsedMs: elapsed(),
    };
  } catch (error) {
    return {
      kind: "unanswered",
      error: problemOf(stop.signal.aborted ? stop.signal.reason : error),
      elapsedMs: elapsed(),
    };
  } finally {
    timer.cancel();
    signal?.removeEventListener("abort", onAbort);
  }
}

async function readStart(body: ReadableStream<Uint8Array> | null): Promise<string> {
  if (body === null) return "";
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop cancels the rest.
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= longestAnswer) break;
  }
  return Buffer.concat(chunks).subarray(0, longestAnswer).toString();
}

/** `fetch` says "fetch failed", and why in its cause. */
function problemOf(error: unknown): string {
  const { cause, message } = error as Error;
  if (cause instanceof Error && cause.message === "bad port") {
    return "Node posts nothing to this port, which belongs to another protocol: let the receiver listen on another one";
  }
  if (cause instanceof AggregateError && cause.errors.length > 0) return (cause.errors[0] as Error).message;
  return cause instanceof Error && cause.message !== "" ? cause.message : message;
}
