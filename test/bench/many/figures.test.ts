import { describe, expect, it } from "vitest";
import {
  evaluateManyFigure,
  manyFigures,
  selectManyFigures,
  troubleFigures,
  watchFigures,
} from "../../../bench/many/figures.ts";
import { scenarios } from "../../../bench/many/scenarios.ts";

describe("selectManyFigures", () => {
  it("selects all of them by what their names begin with", () => {
    expect(selectManyFigures("many")).toEqual(manyFigures);
  });

  it("prefers the one figure with that name", () => {
    expect(selectManyFigures("many-watchers").map(({ name }) => name)).toEqual(["many-watchers"]);
  });

  it("selects several by the beginning of a name up to a dash", () => {
    expect(selectManyFigures("many-events").map(({ name }) => name)).toEqual([
      "many-events-p50",
      "many-events-p99",
      "many-events-bare-p99",
    ]);
  });

  it("selects what holds in trouble by its own names", () => {
    const names = ["overload", "shedding", "failing", "breaker", "parked"];
    expect(names.flatMap((name) => selectManyFigures(name))).toEqual(troubleFigures);
  });

  it("selects what it takes to watch by its own names", () => {
    expect(["alerts", "series", "scrape"].flatMap((name) => selectManyFigures(name))).toEqual(watchFigures);
  });

  it("selects none when it is not asked for any of them", () => {
    expect(selectManyFigures(undefined)).toEqual([]);
    expect(selectManyFigures("man")).toEqual([]);
  });
});

describe("manyFigures, troubleFigures and watchFigures", () => {
  const all = [...manyFigures, ...troubleFigures, ...watchFigures];

  it("has a bar for what each scenario is about", () => {
    const barred = all.filter(({ bar }) => bar !== undefined).map(({ scenario }) => scenario);
    expect(new Set(barred)).toEqual(new Set(scenarios));
  });

  it("has each name once", () => {
    const names = all.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});

describe("evaluateManyFigure", () => {
  const [recovery] = selectManyFigures("many-recovery");
  if (recovery === undefined) {
    throw new Error("there is no figure many-recovery");
  }

  it("holds the median against the bar", () => {
    expect(evaluateManyFigure(recovery, new Map([["many-recovery", [1, 2, 9]]]))).toEqual({
      name: "many-recovery",
      value: 2,
      quartiles: [1.5, 5.5],
      unit: "s",
      bar: { below: 3 },
      holds: true,
    });
    expect(evaluateManyFigure(recovery, new Map([["many-recovery", [3, 3, 1]]])).holds).toBe(false);
  });

  it("refuses to tell what was not measured", () => {
    expect(() => evaluateManyFigure(recovery, new Map())).toThrow("many-recovery was not measured");
    expect(() => evaluateManyFigure(recovery, new Map([["many-recovery", []]]))).toThrow("was not measured");
  });
});
