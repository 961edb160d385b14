import type { Socket } from "node:net";
import { FramedConnection } from "./framed-connection.ts";
import type { CallTemplates } from "./grpc-request.ts";

/** One connection that keeps a number of calls in flight. */
export class LoadConnection extends FramedConnection {
  readonly #templates: CallTemplates;
  #repeating = false;
  #inFlight = 0;
  /** Calls that the bytes of the moment answer. */
  #answered = 0;
  /** When the one call in flight was sent, by `performance.now()`. */
  #sentMs = 0;
  #latenciesMicros: number[] | undefined;
  completed = 0;

  private constructor(socket: Socket, templates: CallTemplates) {
    super(socket);
    this.#templates = templates;
  }

  static async connect(port: number, templates: CallTemplates): Promise<LoadConnection> {
    return new LoadConnection(await FramedConnection.socket(port), templates);
  }

  /** Sends that many calls, and another whenever one is answered. Latencies, in µs, are told for one in flight only. */
  start(inFlight: number, latenciesMicros?: number[]): void {
    this.throwFailure();
    this.#repeating = true;
    this.#latenciesMicros = latenciesMicros;
    this.#send(inFlight);
  }

  /** Sends no more calls; resolves when all have been answered. @throws what went wrong since `start` */
  async stop(): Promise<void> {
    this.#repeating = false;
    this.throwFailure();
    if (this.#inFlight > 0) {
      await this.untilAllAnswered();
    }
  }

  protected override answered(_stream: number, status: string | undefined): void {
    this.#answered++;
    if (status !== "0") {
      throw new Error(`a call was answered with grpc-status ${status ?? "missing"}`);
    }
  }

  protected override read(): void {
    const count = this.#answered;
    if (count === 0) {
      return;
    }
    this.#answered = 0;
    this.#latenciesMicros?.push((performance.now() - this.#sentMs) * 1000);
    this.completed += count;
    this.#inFlight -= count;
    if (this.#repeating && !this.hasFailed) {
      this.#send(count);
    } else if (this.#inFlight === 0) {
      this.allAnswered();
    }
  }

  #send(count: number): void {
    this.#inFlight += count;
    this.sendCalls(this.#templates, count);
    if (this.#latenciesMicros !== undefined) {
      this.#sentMs = performance.now();
    }
  }
}
