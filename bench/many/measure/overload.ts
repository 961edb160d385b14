import { setTimeout as sleep } from "node:timers/promises";
import { createCallTemplates } from "../../grpc-request.ts";
import { plainPath } from "../../servers/plain-method.ts";
import { quantile } from "../../statistics.ts";
import { ManyProcess } from "../many-process.ts";
import { type Answer, OpenConnection } from "../open-connection.ts";
import { type ScenarioOptions, scaled, type Values } from "../scenarios.ts";

/** Runs that work at once, and that wait: as many as are answered within half a second. */
const limit = 8;
const queueLimit = 100;
/** How much of what the server can do is asked of it. */
const excess = 5;
const rounds = 5;
const windowMs = 3_000;
const warmUpMs = 2_000;
/** Less would hold too few runs to tell anything. */
const shortestMs = 500;
const connectionCount = 4;
const ok = 0;
const resourceExhausted = 8;

/**
 * What the server gets done when it is asked for five times of what it can, beside what it gets done when it is never
 * asked for more, in turns; and how soon it refuses the rest. The load is open: calls come whether earlier ones are answered or not.
 */
export async function measureOverload(options: ScenarioOptions): Promise<Values> {
  const { directory, signal } = options;
  await using server = await ManyProcess.start({ kind: "working", directory, limit, queueLimit }, signal);
  const durationMs = Math.max(shortestMs, scaled(windowMs, options));
  const load = await Load.connect(server.port);
  try {
    await load.atCapacity(Math.max(shortestMs, scaled(warmUpMs, options)), signal);
    const peaks: number[] = [];
    const goodputs: number[] = [];
    const shares: number[] = [];
    const refused: number[] = [];
    const refusalsMs: number[] = [];
    for (let round = 0; round < scaled(rounds, options); round++) {
      const peak = perSecond(await load.atCapacity(durationMs, signal), durationMs);
      const answers = await load.open(peak * excess, durationMs, signal);
      const goodput = perSecond(answers, durationMs);
      const refusals = answers.filter(({ status }) => status === resourceExhausted);
      peaks.push(peak);
      goodputs.push(goodput);
      shares.push(goodput / peak);
      refused.push(refusals.length / answers.length);
      refusalsMs.push(
        quantile(
          refusals.map(({ latencyMs }) => latencyMs),
          0.99,
        ),
      );
    }
    return new Map([
      ["overload-peak", peaks],
      ["overload-goodput", goodputs],
      ["overload-goodput-share", shares],
      ["overload-refused", refused],
      ["overload-refusal-p99", refusalsMs],
    ]);
  } finally {
    load.close();
  }
}

function perSecond(answers: readonly Answer[], durationMs: number): number {
  return (answers.filter(({ status }) => status === ok).length * 1000) / durationMs;
}

/** The callers. Each of its loads ends with every call answered. */
class Load {
  readonly #connections: OpenConnection[] = [];
  #next = 0;
  #onAnswer: (answer: Answer) => void = () => {};
  #unexpected: Error | undefined;

  static async connect(port: number): Promise<Load> {
    const load = new Load();
    const templates = createCallTemplates(plainPath, new Uint8Array());
    for (let count = 0; count < connectionCount; count++) {
      load.#connections.push(await OpenConnection.connect(port, templates, (answer) => load.#answered(answer)));
    }
    return load;
  }

  /** Always asks for a little more than the server does at once. Answers what was answered in that time. */
  atCapacity(durationMs: number, signal: AbortSignal): Promise<Answer[]> {
    const inFlight = 2 * limit;
    return this.#measure(durationMs, async (answered) => {
      this.#send(inFlight);
      answered((isOver) => {
        if (!isOver) {
          this.#send(1);
        }
      });
      await sleep(durationMs, undefined, { signal });
    });
  }

  /** Asks for so much a second. Answers what was answered in that time. */
  open(callsPerSecond: number, durationMs: number, signal: AbortSignal): Promise<Answer[]> {
    return this.#measure(durationMs, async () => {
      const startMs = performance.now();
      let sent = 0;
      for (let passedMs = 0; passedMs < durationMs; passedMs = performance.now() - startMs) {
        const due = Math.floor((passedMs * callsPerSecond) / 1000);
        this.#send(due - sent);
        sent = due;
        await sleep(1, undefined, { signal });
      }
    });
  }

  close(): void {
    for (const connection of this.#connections) {
      connection.close();
    }
  }

  async #measure(
    durationMs: number,
    generate: (answered: (then: (isOver: boolean) => void) => void) => Promise<void>,
  ): Promise<Answer[]> {
    const answers: Answer[] = [];
    let then: (isOver: boolean) => void = () => {};
    const endMs = performance.now() + durationMs;
    this.#onAnswer = (answer) => {
      const isOver = performance.now() >= endMs;
      if (!isOver) {
        answers.push(answer);
      }
      then(isOver);
    };
    await generate((onAnswer) => {
      then = onAnswer;
    });
    await Promise.all(this.#connections.map((connection) => connection.idle()));
    if (this.#unexpected !== undefined) {
      throw this.#unexpected;
    }
    return answers;
  }

  #send(count: number): void {
    for (let call = 0; call < count; call++) {
      this.#connections[this.#next++ % connectionCount]?.send(1);
    }
  }

  #answered(answer: Answer): void {
    if (answer.status !== ok && answer.status !== resourceExhausted) {
      this.#unexpected ??= new Error(`a call was answered with grpc-status ${answer.status}`);
    }
    this.#onAnswer(answer);
  }
}
