import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import type { SchemaCheck } from "./documented-schemas.ts";

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly body: unknown;
}

/** A receiver on this machine that takes down what it is posted, and answers 400 with what is wrong where the schema says so. */
export async function startReceiver(
  answer: { status: number; headers?: Record<string, string>; text?: string } = { status: 202 },
  schema: SchemaCheck = () => [],
) {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const body: unknown = JSON.parse(text);
      received.push({ path: request.url ?? "", headers: request.headers, text, body });
      const wrong = schema(body);
      if (wrong.length > 0) response.writeHead(400).end(wrong.join("; "));
      else response.writeHead(answer.status, answer.headers).end(answer.text ?? "");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, received, answer };
}
