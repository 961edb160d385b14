import { fitText, fitTextEnd, padText, textWidth } from "./text-width.ts";

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  /** Which part of a long text stays when the terminal is too narrow. Without it the column is never cut. */
  readonly keep?: "start" | "end";
  /** Left out where all others, cut as far as they may be, need its room; of several the one with the highest number first. */
  readonly spare?: number;
}

const gap = 2;
const narrowest = 8;

/** Rows as lines, under their titles. Where `width` is too small, columns that may be cut are, the widest first. */
export function tableLines<Row>(all: readonly Column<Row>[], rows: readonly Row[], width: number): string[] {
  const columns = withoutSpare(all, rows, width);
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

function withoutSpare<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number,
): readonly Column<Row>[] {
  const least = columns.map(({ title, cell, keep }) => {
    const natural = Math.max(textWidth(title), ...rows.map((row) => textWidth(cell(row))));
    return keep === undefined ? natural : Math.min(natural, narrowest);
  });
  const taken = least.reduce((sum, each) => sum + each, 0) + gap * (columns.length - 1);
  const [first] = columns.filter(({ spare }) => spare !== undefined).sort((a, b) => (b.spare ?? 0) - (a.spare ?? 0));
  if (taken <= width || first === undefined) return columns;
  return withoutSpare(
    columns.filter((column) => column !== first),
    rows,
    width,
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
