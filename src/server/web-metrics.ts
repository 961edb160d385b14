import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Clock } from "../clock.ts";
import { acceptsGzip, chooseFormat, contentTypes, exposition } from "../monitoring/index.ts";
import type { Logger } from "../runs/index.ts";
import { nextTurn } from "../sleep.ts";
import type { Monitoring } from "./start-monitoring.ts";

type Measured = Pick<Monitoring, "meters" | "families">;

export interface WebMetricsOptions {
  /** What is measured; undefined when that could not be started. */
  readonly monitoring: () => Promise<Measured | undefined>;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * How many characters are written without a turn for others: a fraction of a millisecond. It is short text also because what
 * has been written and not sent yet is what the garbage collector has to move.
 */
const sliceLength = 64 * 1024;

/** Answers `GET /metrics`, as Prometheus and everything that speaks its formats asks. */
export class WebMetrics {
  readonly #options: WebMetricsOptions;

  constructor(options: WebMetricsOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => undefined);
    response.setHeader("cache-control", "no-store");
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      refuse(response, 405, `metrics are read with GET, not with ${request.method}`);
      return;
    }
    const monitoring = await this.#options.monitoring();
    if (monitoring === undefined) {
      refuse(response, 503, "nothing is measured: the server's log says why");
      return;
    }
    try {
      await this.#answer(monitoring, request, response);
    } catch (error) {
      // Whoever has gone away needs no answer.
      if (response.destroyed || response.writableEnded) return;
      this.#options.log.error({ err: error }, "the metrics could not be written");
      if (response.headersSent) response.destroy();
      else refuse(response, 500, "the metrics could not be written: the server's log says why");
    }
  }

  async #answer({ meters, families }: Measured, request: IncomingMessage, response: ServerResponse) {
    const format = chooseFormat(request.headers.accept ?? "");
    const compress = acceptsGzip(String(request.headers["accept-encoding"] ?? ""));
    response.setHeader("content-type", contentTypes[format]);
    response.setHeader("vary", "accept, accept-encoding");
    if (compress) response.setHeader("content-encoding", "gzip");
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    const { resource, scopeMetrics } = await meters.collect((error) =>
      this.#options.log.warn({ err: error }, "a metric cannot be read"),
    );
    const lines = exposition({ resource: resource.attributes, families: families.of(scopeMetrics) }, format);
    const text = Readable.from(this.#slices(lines));
    await (compress ? pipeline(text, createGzip(), response) : pipeline(text, response));
  }

  async *#slices(lines: Generator<string>): AsyncGenerator<Buffer> {
    const { clock } = this.#options;
    // Reading all of them takes some milliseconds at once.
    await nextTurn(clock);
    let text = "";
    for (const line of lines) {
      text += line;
      if (text.length >= sliceLength) {
        yield Buffer.from(text);
        text = "";
        await nextTurn(clock);
      }
    }
    yield Buffer.from(text);
  }
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response.statusCode = status;
  response.removeHeader("content-encoding");
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end(`${message}\n`);
}
