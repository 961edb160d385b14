import { fitText, fitTextEnd, padText, textWidth } from "./text-width.ts";

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  /** Which part of a long text stays when the terminal is too narrow. Without it the column is never cut. */
  readonly keep?: "start" | "end";
}

const gap = 2;
const narrowest = 8;

/** Rows as lines, under their titles. Where `width` is too small, columns that may be cut are, the widest first. */
export function tableLines<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width: number): string[] {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ cell }) => cell(row)))];
  const widths = fitWidths(
    columns.map((_, index) => Math.max(...cells.map((row) => textWidth(row[index] ?? "")))),
    columns.map(({ keep }) => keep !== undefined),
    width,
  );
  return cells.map((row) =>
    row
      .map((text, index) => {
        const columnWidth = widths[index] ?? 0;
        const fitted = columns[index]?.keep === "end" ? fitTextEnd(text, columnWidth) : fitText(text, columnWidth);
        return padText(fitted, columnWidth);
      })
      .join(" ".repeat(gap))
      .trimEnd(),
  );
}

function fitWidths(natural: readonly number[], cuttable: readonly boolean[], width: number): number[] {
  const widths = [...natural];
  let surplus = widths.reduce((sum, each) => sum + each, 0) + gap * (widths.length - 1) - width;
  while (surplus > 0) {
    const widest = widths.reduce(
      (best, each, index) => (cuttable[index] && each > Math.max(narrowest, widths[best] ?? 0) ? index : best),
      -1,
    );
    if (widest < 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    surplus--;
  }
  return widths;
}
