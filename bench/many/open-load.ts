import { setTimeout as sleep } from "node:timers/promises";
import type { CallTemplates } from "../grpc-request.ts";
import { type Answer, OpenConnection } from "./open-connection.ts";

const connectionCount = 4;

/** Callers who do not wait for each other. Each of their loads ends with every call answered. */
export class OpenLoad {
  readonly #connections: OpenConnection[] = [];
  #next = 0;
  #onAnswer: (answer: Answer) => void = () => {};

  /** @param finish has the last say about each call */
  static async connect(port: number, templates: CallTemplates, finish?: (call: Buffer) => void): Promise<OpenLoad> {
    const load = new OpenLoad();
    for (let count = 0; count < connectionCount; count++) {
      const onAnswer = (answer: Answer): void => load.#onAnswer(answer);
      load.#connections.push(await OpenConnection.connect(port, templates, onAnswer, finish));
    }
    return load;
  }

  /** Always asks for that many at once. Answers what was answered in that time. */
  atOnce(inFlight: number, durationMs: number, signal: AbortSignal): Promise<Answer[]> {
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

  /** Asks that many times, and waits for the answers. */
  once(count: number): Promise<Answer[]> {
    return this.#measure(Number.POSITIVE_INFINITY, async () => this.#send(count));
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
    return answers;
  }

  #send(count: number): void {
    for (let call = 0; call < count; call++) {
      this.#connections[this.#next++ % connectionCount]?.send(1);
    }
  }
}
