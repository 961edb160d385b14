import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { expect, onTestFinished } from "vitest";

export interface Received {
  readonly id: string;
  readonly timestamp: string;
  readonly signatures: readonly string[];
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  // biome-ignore lint/suspicious/noExplicitAny: JSON, looked at by the test
  readonly json: any;
}

export interface Receiver {
  readonly url: string;
  readonly requests: readonly Received[];
  /** Requests that have not been answered. */
  readonly open: number;
  /** What the next ones are answered. Default: 204. */
  answer(how: Answer): void;
  /** Resolves once so many requests have come and been answered. */
  received(count: number): Promise<void>;
}

export type Answer = (request: Received, response: ServerResponse) => void;

export const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (_, response) => {
    response.writeHead(code, headers).end("thanks");
  };

/** A real HTTP server that takes webhooks, and is gone when the test ends. */
export async function startReceiver(port = 0): Promise<Receiver> {
  const requests: Received[] = [];
  let how: Answer = status(204);
  let open = 0;
  const waiting = new Set<() => void>();
  const server = createServer(async (request, response) => {
    open++;
    response.on("close", () => {
      open--;
      for (const look of waiting) look();
    });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const { headers } = request;
    const received: Received = {
      id: String(headers["webhook-id"]),
      timestamp: String(headers["webhook-timestamp"]),
      signatures: String(headers["webhook-signature"]).split(" "),
      headers,
      body,
      json: JSON.parse(body),
    };
    requests.push(received);
    how(received, response);
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    requests,
    get open() {
      return open;
    },
    answer(next) {
      how = next;
    },
    received: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (requests.length < count || open > 0) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

/** Where nobody listens. */
export async function deadUrl(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}/`;
}

/** By another implementation: one of the signatures is that of the secret over id, time and body. */
export function expectSignedBy(secret: string, { id, timestamp, body, signatures }: Received): void {
  expect(signatures).toContain(new Webhook(secret).sign(id, new Date(Number(timestamp) * 1000), body));
}

/** Lets real I/O go on until something holds. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpMs = performance.now() + 5_000;
  while (!(await holds())) {
    if (performance.now() > giveUpMs) throw new Error(`it never holds: ${holds}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
