import type { CliIo } from "../io.ts";
import { showBytes } from "./sizes.ts";

/** How often a line is drawn again. */
const intervalMs = 200;

/** A line on a terminal that says how far a long work is; nothing where there is no terminal. */
export class PartLine implements Disposable {
  readonly #io: CliIo;
  #drawnMs = Number.NEGATIVE_INFINITY;

  constructor(io: CliIo) {
    this.#io = io;
  }

  show(what: string, done: number, total?: number, unit: "bytes" | "count" = "count"): void {
    const nowMs = this.#io.clock.now();
    if (!this.#io.isTTY || nowMs - this.#drawnMs < intervalMs) return;
    this.#drawnMs = nowMs;
    const amount = (count: number): string => (unit === "bytes" ? showBytes(count) : count.toLocaleString("en-US"));
    this.#io.stderr.write(`\r\u001b[K${what}: ${amount(done)}${total === undefined ? "" : ` of ${amount(total)}`}`);
  }

  [Symbol.dispose](): void {
    if (this.#drawnMs !== Number.NEGATIVE_INFINITY) this.#io.stderr.write("\r\u001b[K");
  }
}
