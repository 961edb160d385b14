import { describe, expect, it } from "vitest";
import { type Column, tableLines } from "../../../src/cli/display/table.ts";

interface Row {
  readonly id: string;
  readonly name: string;
  readonly note: string;
}

const columns: Column<Row>[] = [
  { title: "ID", cell: ({ id }) => id },
  { title: "NAME", cell: ({ name }) => name, keep: "end" },
  { title: "NOTE", cell: ({ note }) => note, keep: "start" },
];
const rows: Row[] = [
  { id: "0123456789", name: "package.Service/Method", note: "a rather long remark" },
  { id: "1", name: "x", note: "" },
];

describe("tableLines", () => {
  it("lines up columns under their titles, without spaces at the end", () => {
    expect(tableLines(columns, rows, 100)).toEqual([
      "ID          NAME                    NOTE",
      "0123456789  package.Service/Method  a rather long remark",
      "1           x",
    ]);
  });

  it("cuts the widest columns that may be cut, from the end that says least", () => {
    const lines = tableLines(columns, rows, 40);
    expect(lines[1]).toBe("0123456789  …rvice/Method  a rather lon…");
    expect(Math.max(...lines.map((line) => line.length))).toBe(40);
  });

  it("never cuts a column that has to be copied, however narrow the terminal is", () => {
    const [, line] = tableLines(columns, rows, 5);
    expect(line).toMatch(/^0123456789 /);
  });
});
