import { expect, it } from "vitest";
import { Retakes } from "../../src/runs/retakes.ts";

it("the runs that wait to be retaken are counted by workflow, each once, until they are withdrawn", () => {
  const retakes = new Retakes();
  retakes.add("1", "a.B/C");
  retakes.add("2", "a.B/C");
  retakes.add("2", "a.B/C");
  retakes.add("3", "a.B/D");
  expect([retakes.size, retakes.waiting("a.B/C"), retakes.waiting("a.B/D"), retakes.waiting("a.B/E")]).toEqual([
    3, 2, 1, 0,
  ]);
  retakes.withdraw("2");
  retakes.withdraw("2");
  retakes.withdraw("3");
  expect([retakes.size, retakes.waiting("a.B/C"), retakes.waiting("a.B/D")]).toEqual([1, 1, 0]);
});
