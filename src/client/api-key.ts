import type { Transport } from "@connectrpc/connect";

/** Sends an API key as `authorization: Bearer …` with each call that has no `authorization` of its own. */
export function createAuthorizedTransport(transport: Transport, apiKey: string): Transport {
  const authorized = (header: ConstructorParameters<typeof Headers>[0]): Headers => {
    const headers = new Headers(header);
    if (!headers.has("authorization")) headers.set("authorization", `Bearer ${apiKey}`);
    return headers;
  };
  return {
    unary: (method, signal, timeoutMs, header, input, contextValues) =>
      transport.unary(method, signal, timeoutMs, authorized(header), input, contextValues),
    stream: (method, signal, timeoutMs, header, input, contextValues) =>
      transport.stream(method, signal, timeoutMs, authorized(header), input, contextValues),
  };
}

/** @throws TypeError for a key that cannot be sent, without repeating it */
export function assertApiKey(apiKey: string): void {
  if (!/^[\x21-\x7e]+$/.test(apiKey)) {
    throw new TypeError(
      "apiKey: a key has only printable ASCII characters and no spaces: look for a line break or quotes around it",
    );
  }
}
