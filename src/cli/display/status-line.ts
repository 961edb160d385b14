import type { Timer } from "../../clock.ts";
import type { CliIo } from "../io.ts";

const hideCursor = "\u001b[?25l";
const showCursor = "\u001b[?25h";
const eraseBelow = "\u001b[J";

/** No eye sees more. */
const shortestFrameMs = 100;
/** For what changes by itself: times. */
const longestFrameMs = 1000;

/**
 * One line at the bottom of a terminal that is drawn again and again. Between two frames the cursor waits, hidden, at the
 * line's beginning: there it stays when the terminal becomes narrower and wraps the line, so that all of it is erased.
 */
export class StatusLine implements Disposable {
  readonly #io: CliIo;
  readonly #render: (width: number) => string;
  readonly #offResize: () => void;
  #timer: Timer | undefined;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #drawn = false;

  /** `render` gives the line for a width, without colours or other control characters. */
  constructor(io: CliIo, render: (width: number) => string) {
    this.#io = io;
    this.#render = render;
    this.#offResize = io.onResize(() => this.#draw());
    io.stdout.write(hideCursor);
    this.#draw();
  }

  /** Something has changed: draws now, or shortly when it has just been drawn. */
  update(): void {
    const sinceMs = this.#io.clock.monotonic() - this.#drawnMs;
    if (sinceMs >= shortestFrameMs) this.#draw();
    else this.#drawAfter(shortestFrameMs - sinceMs);
  }

  /** Writes lines that stay above the status line. */
  print(...lines: readonly string[]): void {
    this.#io.stdout.write(`${this.#erased()}${lines.map((line) => `${line}\n`).join("")}`);
    this.#draw();
  }

  /** Erases the line, and gives the cursor back. */
  [Symbol.dispose](): void {
    this.#offResize();
    this.#timer?.cancel();
    this.#io.stdout.write(`${this.#erased()}${showCursor}`);
  }

  #draw(): void {
    // The last column stays free: a character there wraps on some terminals.
    const width = Math.max(1, this.#io.columns - 1);
    this.#io.stdout.write(`${this.#render(width)}${eraseBelow}\r`);
    this.#drawn = true;
    this.#drawnMs = this.#io.clock.monotonic();
    this.#drawAfter(longestFrameMs);
  }

  #drawAfter(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#io.clock.setTimeout(() => this.#draw(), delayMs);
  }

  #erased(): string {
    const erased = this.#drawn ? eraseBelow : "";
    this.#drawn = false;
    return erased;
  }
}
