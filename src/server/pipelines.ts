import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock } from "../clock.ts";

/**
 * Requests that a connection may send before the first of them is answered, and within one turn of the event loop. No browser
 * and no proxy sends more than one. Node reads on and on where requests come in one piece, and answers each before it reads
 * the next: megabytes of them are one turn, for which everybody else waits.
 */
const mostAtOnce = 16;

interface Pipeline {
  open: number;
  turn: number;
  inTurn: number;
}

/** Counts, for each connection, the requests that are not answered yet, and those of this turn. */
export class Pipelines {
  readonly #clock: Pick<Clock, "setImmediate">;
  readonly #pipelines = new WeakMap<Duplex, Pipeline>();
  #turn = 0;
  #isCounting = false;

  constructor(clock: Pick<Clock, "setImmediate">) {
    this.#clock = clock;
  }

  /** Counts one until it is answered; false when there are too many. */
  admit({ socket }: IncomingMessage, response: ServerResponse): boolean {
    this.#countTurn();
    let pipeline = this.#pipelines.get(socket);
    if (pipeline === undefined) {
      pipeline = { open: 0, turn: this.#turn, inTurn: 0 };
      this.#pipelines.set(socket, pipeline);
    }
    if (pipeline.turn !== this.#turn) {
      pipeline.turn = this.#turn;
      pipeline.inTurn = 0;
    }
    pipeline.inTurn++;
    if (pipeline.inTurn > mostAtOnce || pipeline.open >= mostAtOnce) return false;
    pipeline.open++;
    const counted = pipeline;
    response.once("close", () => counted.open--);
    return true;
  }

  #countTurn(): void {
    if (this.#isCounting) return;
    this.#isCounting = true;
    this.#clock.setImmediate(() => {
      this.#isCounting = false;
      this.#turn++;
    });
  }
}
