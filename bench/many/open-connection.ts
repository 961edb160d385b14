import type { Socket } from "node:net";
import { FramedConnection } from "../framed-connection.ts";
import type { CallTemplates } from "../grpc-request.ts";

/** How one call was answered. */
export interface Answer {
  /** The `grpc-status`. */
  readonly status: number;
  readonly latencyMs: number;
}

/** One connection whose calls come when they come, answered or not, and that looks at how each is answered. */
export class OpenConnection extends FramedConnection {
  readonly #templates: CallTemplates;
  readonly #onAnswer: (answer: Answer) => void;
  readonly #finish: ((call: Buffer) => void) | undefined;
  /** When each call that is not answered yet was sent, by its stream. */
  readonly #sentMs = new Map<number, number>();

  private constructor(
    socket: Socket,
    templates: CallTemplates,
    onAnswer: (answer: Answer) => void,
    finish: ((call: Buffer) => void) | undefined,
  ) {
    super(socket);
    this.#templates = templates;
    this.#onAnswer = onAnswer;
    this.#finish = finish;
  }

  /** @param finish has the last say about each call */
  static async connect(
    port: number,
    templates: CallTemplates,
    onAnswer: (answer: Answer) => void,
    finish?: (call: Buffer) => void,
  ): Promise<OpenConnection> {
    return new OpenConnection(await FramedConnection.socket(port), templates, onAnswer, finish);
  }

  /** @throws what has gone wrong, if anything has */
  send(count: number): void {
    this.throwFailure();
    const before = this.lastStream;
    this.sendCalls(this.#templates, count);
    const sentMs = performance.now();
    for (let stream = before + 2; stream <= this.lastStream; stream += 2) {
      this.#sentMs.set(stream, sentMs);
    }
  }

  /** Resolves when all calls have been answered. @throws what has gone wrong, if anything has */
  async idle(): Promise<void> {
    this.throwFailure();
    if (this.#sentMs.size > 0) {
      await this.untilAllAnswered();
    }
  }

  protected override finish(call: Buffer): void {
    this.#finish?.(call);
  }

  protected override isOpen(stream: number): boolean {
    return this.#sentMs.has(stream);
  }

  protected override answered(stream: number, status: string | undefined): void {
    const sentMs = this.#sentMs.get(stream);
    if (sentMs === undefined) {
      return;
    }
    this.#sentMs.delete(stream);
    if (status === undefined) {
      throw new Error("a call was answered without a grpc-status");
    }
    this.#onAnswer({ status: Number(status), latencyMs: performance.now() - sentMs });
    if (this.#sentMs.size === 0) {
      this.allAnswered();
    }
  }
}
