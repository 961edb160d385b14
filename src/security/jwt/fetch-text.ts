import type { Clock } from "../../clock.ts";

/** A set of a hundred RSA keys has some 100 KB, a discovery document 5. */
const longestAnswer = 512 * 1024;

/**
 * Gets a document of an issuer. Redirects are not followed: where they lead is nobody's configuration.
 *
 * @throws Error in words for the log, when it does not come whole, in time and with status 200
 */
export async function fetchText(url: string, timeoutMs: number, clock: Clock, signal: AbortSignal): Promise<string> {
  const stop = new AbortController();
  const abort = (): void => stop.abort(new Error("the server stopped"));
  const timer = clock.setTimeout(() => stop.abort(new Error(`no whole answer within ${timeoutMs} ms`)), timeoutMs);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    const response = await fetch(url, {
      headers: { accept: "application/json, application/jwk-set+json", "user-agent": "retake" },
      redirect: "manual",
      signal: stop.signal,
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`the answer has status ${response.status}, and 200 is wanted`);
    }
    return await read(response.body);
  } catch (error) {
    throw new Error(`${url}: ${wordsOf(stop.signal.aborted ? stop.signal.reason : error)}`, { cause: error });
  } finally {
    timer.cancel();
    signal.removeEventListener("abort", abort);
  }
}

async function read(body: ReadableStream<Uint8Array> | null): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop cancels the rest.
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > longestAnswer) throw new Error(`the answer has more than ${longestAnswer} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** `fetch` says "fetch failed", and why in its cause. */
function wordsOf(error: unknown): string {
  const { cause, message } = error as Error;
  if (cause instanceof AggregateError && cause.errors.length > 0) return (cause.errors[0] as Error).message;
  return cause instanceof Error && cause.message !== "" ? cause.message : message;
}
