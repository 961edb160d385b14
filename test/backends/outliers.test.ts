import { describe, expect, it } from "vitest";
import { type OutlierGroup, Outliers, Standing } from "../../src/backends/outliers.ts";
import { silentLogger } from "../../src/runs/index.ts";
import { createVirtualClock } from "../../src/testing/index.ts";

const detection = { consecutiveFailures: 3, baseEjectionMs: 10_000, maxEjectionMs: 25_000, maxEjectionPercent: 50 };

/** Endpoints of one service, which may share some of them with others. */
function pool(targets: readonly string[], more: { others?: readonly string[][]; percent?: number } = {}) {
  const clock = createVirtualClock();
  const members = new Map(targets.map((target) => [target, { target, healthy: true, standing: new Standing() }]));
  const memberOf = (target: string) => members.get(target) ?? { target, healthy: true, standing: new Standing() };
  const own: OutlierGroup = {
    members: targets.map(memberOf),
    detection: { ...detection, maxEjectionPercent: more.percent ?? 50 },
  };
  const groups = [own, ...(more.others ?? []).map((names) => ({ members: names.map(memberOf) }))];
  const changes: string[] = [];
  const outliers = new Outliers({
    clock,
    log: silentLogger,
    groupsOf: (target) => groups.filter((group) => group.members.some((member) => member.target === target)),
    onChange: (target) => changes.push(`${target} ${isOut(target) ? "out" : "back"} at ${clock.monotonic() / 1000} s`),
  });
  const isOut = (target: string) => memberOf(target).standing.ejection !== undefined;
  const fail = (target: string, times = detection.consecutiveFailures) => {
    for (let i = 0; i < times; i++) outliers.failed(target, memberOf(target).standing, own);
  };
  const reconsider = () => outliers.reconsider(groups);
  return { clock, memberOf, isOut, fail, changes, reconsider };
}

describe("an endpoint", () => {
  it("is taken out after failures in a row, and back after a while", async () => {
    const { clock, fail, isOut, changes } = pool(["a", "b"]);
    fail("a", 2);
    expect(isOut("a")).toBe(false);
    fail("a", 1);
    expect(isOut("a")).toBe(true);
    await clock.advance(9_999);
    expect(isOut("a")).toBe(true);
    await clock.advance(1);
    expect(changes).toEqual(["a out at 0 s", "a back at 10 s"]);
    fail("a", 2);
    expect(isOut("a")).toBe(false);
  });

  it("is out longer each time, up to the longest, and lives that down", async () => {
    const { clock, fail, changes } = pool(["a", "b"]);
    for (let i = 0; i < 3; i++) {
      fail("a");
      await clock.advance(25_000 - 1);
    }
    expect(changes.map((change) => change.replace("a ", ""))).toEqual([
      "out at 0 s",
      "back at 10 s",
      "out at 24.999 s",
      "back at 34.999 s",
      "out at 49.998 s",
      "back at 59.998 s",
    ]);
    changes.length = 0;
    await clock.advance(1000);
    for (let i = 0; i < 3; i++) {
      fail("a");
      const before = changes.length;
      while (changes.length === before) await clock.advance(1000);
    }
    const outs = changes.map((change) => Number(/at ([\d.]+) s/.exec(change)?.[1]));
    expect([1, 3, 5].map((index) => Math.round((outs[index] ?? 0) - (outs[index - 1] ?? 0)))).toEqual([10, 20, 25]);
  });

  it.each([
    ["the only one", ["a"], () => {}],
    ["one where the others fail as well", ["a", "b"], ({ fail }: Pool) => fail("b", 1)],
    [
      "one where the others are not healthy",
      ["a", "b"],
      ({ memberOf }: Pool) => Object.assign(memberOf("b"), { healthy: false }),
    ],
    ["one more than may be out at once", ["a", "b", "c"], ({ fail }: Pool) => fail("c")],
  ])("stays where it is %s", (_, targets, prepare) => {
    const own = pool(targets);
    prepare(own);
    own.fail("a", 10);
    expect(own.isOut("a")).toBe(false);
  });

  it("stays where another service has no other one", () => {
    const { fail, isOut } = pool(["a", "b"], { others: [["a"]] });
    fail("a", 10);
    expect(isOut("a")).toBe(false);
  });

  it("comes back before its time when no other one is left, and goes at its next failure when one is", async () => {
    const { clock, memberOf, fail, isOut, changes, reconsider } = pool(["a", "b", "c"]);
    fail("a");
    Object.assign(memberOf("b"), { healthy: false });
    reconsider();
    expect(isOut("a")).toBe(true);
    Object.assign(memberOf("c"), { healthy: false });
    await clock.advance(1_000);
    reconsider();
    expect(isOut("a")).toBe(false);
    fail("a", 5);
    expect(isOut("a")).toBe(false);
    Object.assign(memberOf("c"), { healthy: true });
    fail("a", 1);
    await clock.advance(19_999);
    expect(isOut("a")).toBe(true);
    await clock.advance(1);
    expect(changes).toEqual(["a out at 0 s", "a back at 1 s", "a out at 1 s", "a back at 21 s"]);
  });

  it("that is not healthy itself stays out until it is", () => {
    const { memberOf, fail, isOut, reconsider } = pool(["a", "b"]);
    fail("a");
    for (const target of ["a", "b"]) Object.assign(memberOf(target), { healthy: false });
    reconsider();
    expect(isOut("a")).toBe(true);
    Object.assign(memberOf("a"), { healthy: true });
    reconsider();
    expect(isOut("a")).toBe(false);
  });

  it("stays where nothing may be out, and goes with half of many", () => {
    const none = pool(["a", "b"], { percent: 0 });
    none.fail("a", 10);
    expect(none.isOut("a")).toBe(false);
    const many = pool(["a", "b", "c", "d"]);
    for (const target of ["a", "b", "c"]) many.fail(target);
    expect(["a", "b", "c", "d"].filter(many.isOut)).toEqual(["a", "b"]);
  });
});

type Pool = ReturnType<typeof pool>;
