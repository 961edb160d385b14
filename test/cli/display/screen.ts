/** So much of a terminal as a status line uses: what a person sees of what was written. */
export class Screen {
  #rows: { text: string; wraps: boolean }[] = [{ text: "", wraps: false }];
  #row = 0;
  #column = 0;
  #columns: number;
  /** What was there before another screen was entered. */
  #before: { rows: { text: string; wraps: boolean }[]; row: number; column: number } | undefined;
  cursorVisible = true;

  private constructor(columns: number) {
    this.#columns = columns;
  }

  static of(written: string, columns: number): Screen {
    const screen = new Screen(columns);
    screen.write(written);
    return screen;
  }

  write(text: string): void {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a terminal obeys
    for (const [token] of text.matchAll(/\u001b\[[?0-9;]*[A-Za-z]|./gsu)) {
      switch (token) {
        case "\r":
          this.#column = 0;
          break;
        case "\n":
          this.#nextRow(false);
          this.#column = 0;
          break;
        case "\u001b[?1049h":
          this.#before = { rows: this.#rows, row: this.#row, column: this.#column };
          this.#rows = [{ text: "", wraps: false }];
          this.#row = this.#column = 0;
          break;
        case "\u001b[?1049l":
          if (this.#before === undefined) throw new Error("there is no screen to go back to");
          this.#rows = this.#before.rows;
          this.#row = this.#before.row;
          this.#column = this.#before.column;
          break;
        case "\u001b[H":
          this.#row = this.#column = 0;
          break;
        case "\u001b[K":
          this.#rows[this.#row] = { text: this.#current.slice(0, this.#column), wraps: false };
          break;
        case "\u001b[J":
          this.#rows.length = this.#row + 1;
          this.#rows[this.#row] = { text: this.#current.slice(0, this.#column), wraps: false };
          break;
        case "\u001b[?25l":
          this.cursorVisible = false;
          break;
        case "\u001b[?25h":
          this.cursorVisible = true;
          break;
        default:
          if (token.startsWith("\u001b")) throw new Error(`unexpected sequence ${JSON.stringify(token)}`);
          this.#put(token);
      }
    }
  }

  /** The lines that are seen, without empty ones at the end. */
  lines(): string[] {
    const lines = this.#rows.map(({ text }) => text.trimEnd());
    while (lines.at(-1) === "") lines.pop();
    return lines;
  }

  /** Changes the width as terminals do: a line that no longer fits goes on in the next row; the cursor stays at its character. */
  reflow(columns: number): void {
    const rows: { text: string; wraps: boolean }[] = [];
    let cursorRow = 0;
    for (const [index, { text }] of this.#rows.entries()) {
      if (index === this.#row) cursorRow = rows.length + Math.floor(this.#column / columns);
      for (let start = 0; start === 0 || start < text.length; start += columns) {
        rows.push({ text: text.slice(start, start + columns), wraps: start + columns < text.length });
      }
    }
    this.#rows = rows;
    this.#row = cursorRow;
    this.#column %= columns;
    this.#columns = columns;
  }

  get #current(): string {
    return this.#rows[this.#row]?.text ?? "";
  }

  #put(character: string): void {
    if (this.#column === this.#columns) {
      this.#nextRow(true);
      this.#column = 0;
    }
    const text = this.#current.padEnd(this.#column);
    this.#rows[this.#row] = {
      text: text.slice(0, this.#column) + character + text.slice(this.#column + 1),
      wraps: false,
    };
    this.#column++;
  }

  #nextRow(wraps: boolean): void {
    this.#rows[this.#row] = { text: this.#current, wraps };
    this.#row++;
    this.#rows[this.#row] ??= { text: "", wraps: false };
  }
}
