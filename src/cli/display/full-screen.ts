import type { Timer } from "../../clock.ts";
import type { CliIo } from "../io.ts";

const enter = "\u001b[?1049h\u001b[?25l";
const leave = "\u001b[?25h\u001b[?1049l";
const home = "\u001b[H";
const eraseLine = "\u001b[K";
const eraseBelow = "\u001b[J";

/** For what changes by itself: times. */
const frameMs = 1_000;

/** A terminal's whole window, drawn again and again on a screen of its own: what was there before comes back at the end. */
export class FullScreen implements Disposable {
  readonly #io: CliIo;
  readonly #render: (width: number, height: number) => readonly string[];
  readonly #offResize: () => void;
  #timer: Timer | undefined;

  /** `render` gives lines that fit, without colours or other control characters. */
  constructor(io: CliIo, render: (width: number, height: number) => readonly string[]) {
    this.#io = io;
    this.#render = render;
    io.stdout.write(enter);
    this.#offResize = io.onResize(() => this.update());
    this.update();
  }

  /** Draws anew. */
  update(): void {
    const { stdout, columns, rows, clock } = this.#io;
    // The last column stays free: a character there wraps on some terminals.
    const lines = this.#render(Math.max(1, columns - 1), rows).slice(0, rows);
    stdout.write(`${home}${lines.map((line) => `${line}${eraseLine}`).join("\r\n")}${eraseBelow}`);
    this.#timer?.cancel();
    this.#timer = clock.setTimeout(() => this.update(), frameMs);
  }

  [Symbol.dispose](): void {
    this.#offResize();
    this.#timer?.cancel();
    this.#io.stdout.write(leave);
  }
}
