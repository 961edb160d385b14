import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { applyEdit } from "./apply-edit.ts";
import { mutations } from "./mutation-list.ts";

const src = join(import.meta.dirname, "..", "..", "src");

describe("the bugs that mutations.ts plants", () => {
  it.each(mutations)("fit the sources of today: $name", ({ edits }) => {
    for (const edit of edits) {
      expect(applyEdit(readFileSync(join(src, edit.file), "utf8"), edit)).toContain(edit.to);
    }
  });

  it("are refused where the sources have changed", () => {
    const edit = { file: "a.ts", from: "x", to: "y" };
    expect(applyEdit("1 x 2", edit)).toBe("1 y 2");
    expect(() => applyEdit("nothing", edit)).toThrow("src/a.ts has 0 times what is edited");
    expect(() => applyEdit("x x", edit)).toThrow("src/a.ts has 2 times");
  });
});
