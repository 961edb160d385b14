import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ManyProcess } from "../many-process.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";

const rules = 500;
const series = 5_000;
const evaluations = 30;
const crossings = 4;

/** How often samples are taken, and rules evaluated: at whole tens of seconds. */
const intervalMs = 10_000;

/** Right after samples were taken: the next ones are as far away as they can be. */
const afterSampleMs = 100;

const longestMs = 60_000;

/**
 * What it takes of a core to evaluate rules over the series of six hours; and how long it takes from what a rule goes by
 * being measured, as long before the next sample as it can be, until a webhook is told, and from that sample on.
 */
export async function measureAlerts(options: ScenarioOptions): Promise<Values> {
  return new Map([["alerts-evaluation", await evaluationTimes(options)], ...(await webhookTimes(options))]);
}

async function evaluationTimes(options: ScenarioOptions): Promise<readonly number[]> {
  const { signal } = options;
  await using child = await ManyProcess.start({ kind: "series" }, signal);
  await child.ask({ kind: "fill", series: scaled(series, options) }, signal);
  const wish = { kind: "evaluate", rules: scaled(rules, options), rounds: 10 + evaluations } as const;
  // The first ones are compiled while they are measured.
  return ((await child.ask(wish, signal)) as number[]).slice(10);
}

async function webhookTimes(options: ScenarioOptions): Promise<[string, readonly number[]][]> {
  const { signal, directory } = options;
  await using receiver = await Receiver.open();
  const { url } = receiver;
  await using server = await ManyProcess.start(
    {
      ...{ kind: "alerting", directory: join(directory, "alerting"), receiver: url },
      ...{ rules: scaled(rules, options), series: scaled(series, options) },
    },
    signal,
  );
  // Until it has begun to take samples.
  await sleep(intervalMs - (Date.now() % intervalMs) + intervalMs, undefined, { signal });
  const all: number[] = [];
  const afterSample: number[] = [];
  for (let i = 0; i < scaled(crossings, options); i++) {
    await sleep(intervalMs - (Date.now() % intervalMs) + afterSampleMs, undefined, { signal });
    const told = receiver.next(i % 2 === 0 ? "firing" : "resolved", signal);
    const beganMs = Date.now();
    await server.ask({ kind: "level", value: i % 2 === 0 ? 20 : 0 }, signal);
    const arrivedMs = await told;
    all.push(arrivedMs - beganMs);
    afterSample.push(arrivedMs - Math.ceil(beganMs / intervalMs) * intervalMs);
  }
  return [
    ["alerts-webhook", [Math.max(...all)]],
    ["alerts-webhook-after-sample", [Math.max(...afterSample)]],
  ];
}

/** Who is told. */
class Receiver implements AsyncDisposable {
  readonly url: string;
  readonly #server: ReturnType<typeof createServer>;
  #waiting: { readonly status: string; arrived(atMs: number): void } | undefined;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    server.on("request", async (request, response) => {
      const atMs = Date.now();
      const body = JSON.parse(Buffer.concat(await request.toArray()).toString()) as { status: string };
      response.writeHead(200).end();
      if (body.status === this.#waiting?.status) this.#waiting.arrived(atMs);
    });
  }

  static async open(): Promise<Receiver> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Receiver(server);
  }

  /** When it is told next that something is so. @throws Error when it is not told for long */
  async next(status: string, signal: AbortSignal): Promise<number> {
    const arrived = Promise.withResolvers<number>();
    this.#waiting = { status, arrived: arrived.resolve };
    const late = new AbortController();
    const tooLate = sleep(longestMs, undefined, { signal: AbortSignal.any([signal, late.signal]) }).then(() => {
      throw new Error(`no webhook has told that the alert is ${status}`);
    });
    try {
      return await Promise.race([arrived.promise, tooLate]);
    } finally {
      late.abort();
      tooLate.catch(() => undefined);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
