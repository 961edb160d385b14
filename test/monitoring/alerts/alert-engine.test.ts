import { create } from "@bufbuild/protobuf";
import { describe, expect, it, vi } from "vitest";
import { AcknowledgementSchema } from "../../../gen/retake/v1/alert_pb.js";
import { viewAlert } from "../../../src/monitoring/alerts/alert.ts";
import { AlertEngine, type RuleChange } from "../../../src/monitoring/alerts/alert-engine.ts";
import type { Rule } from "../../../src/monitoring/alerts/rule.ts";
import type { Journal } from "../../../src/runs/index.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/virtual-clock.ts";
import { rule, TestGauges } from "./rules.ts";

const step = 10_000;

function setUp() {
  const clock = createVirtualClock();
  const { journal } = createMemoryStorage({ clock });
  return { clock, journal, gauges: new TestGauges() };
}

interface Started {
  readonly engine: AlertEngine;
  readonly told: string[];
  /** Ten seconds later the gauge is that, and the rules are evaluated. */
  at(...values: number[]): Promise<void>;
}

async function start(
  { clock, journal, gauges }: { clock: VirtualClock; journal: Journal; gauges: TestGauges },
  rules: readonly Rule[],
  lastMs = clock.now(),
): Promise<Started> {
  const told: string[] = [];
  const changed = (changes: readonly RuleChange[]): void => {
    for (const {
      rule: { name },
      before,
      after,
    } of changes)
      told.push(`${name}: ${before.state} > ${after.state}`);
  };
  const engine = new AlertEngine({
    ...{
      clock,
      journal,
      log: silentLogger,
      source: gauges,
      outbox: { appendsFor: () => [], changed, overdue: () => undefined },
    },
  });
  await engine.open(rules, lastMs);
  const at = async (...values: number[]): Promise<void> => {
    for (const value of values) {
      await clock.advance(step);
      gauges.set("depth", clock.now(), value);
      await engine.evaluate(clock.now());
      await clock.advance(0);
    }
  };
  return { engine, told, at };
}

function states({ engine }: Pick<Started, "engine">): string[] {
  return engine.list().map(({ alert, rule: { name } }) => `${name} ${viewAlert(alert).state}`);
}

describe("AlertEngine", () => {
  it("tells what has moved, once it is stored", async () => {
    const { engine, told, at } = await start(setUp(), [rule({ for: { seconds: 10n } })]);
    await at(5, 15, 15, 5);
    expect(told).toEqual(["Deep: inactive > pending", "Deep: pending > firing", "Deep: firing > resolved"]);
    expect(states({ engine })).toEqual(["Deep resolved"]);
  });

  it("goes on after a restart: what fires fires, and what is pending has the rest of its time to wait", async () => {
    const world = setUp();
    const rules = [rule(), rule({ name: "Long", for: { seconds: 60n } })];
    const before = await start(world, rules);
    await before.at(15, 15, 15, 15);
    await world.clock.advance(600_000);

    const after = await start(world, rules, world.clock.now() - 600_000);
    expect(states(after)).toEqual(["Deep firing", "Long pending"]);
    await after.at(15, 15);
    expect(states(after)).toEqual(["Deep firing", "Long pending"]);
    await after.at(15);
    expect(states(after)).toEqual(["Deep firing", "Long firing"]);
    await after.at(5);
    expect(after.told.slice(-2)).toEqual(["Deep: firing > resolved", "Long: firing > resolved"]);
  });

  it.each([3_600_000, -3_600_000])("waits no longer and no shorter when the clock is set by %d ms", async (byMs) => {
    const world = setUp();
    const started = await start(world, [rule({ for: { seconds: 60n } })]);
    await started.at(15, 15, 15);
    world.clock.jump(byMs);
    // Samples of a clock that goes back are new ones.
    const gauges = new TestGauges();
    const values = [15, 15, 15, 15];
    world.gauges.select = gauges.select;
    for (const value of values.slice(0, 3)) {
      await world.clock.advance(step);
      gauges.set("depth", world.clock.now(), value);
      await started.engine.evaluate(world.clock.now());
      await world.clock.advance(0);
    }
    expect(states(started)).toEqual(["Deep pending"]);
    await world.clock.advance(step);
    gauges.set("depth", world.clock.now(), 15);
    await started.engine.evaluate(world.clock.now());
    expect(states(started)).toEqual(["Deep firing"]);
  });

  it("goes on as if nothing were when the clock was set back while there was no process", async () => {
    const world = setUp();
    const rules = [rule({ keepFiringFor: { seconds: 60n } }), rule({ name: "Long", for: { seconds: 60n } })];
    const before = await start(world, rules);
    await before.at(15, 15, 15, 15);
    const lastMs = world.clock.now();
    world.clock.jump(-3_600_000);

    const after = await start({ ...world, gauges: new TestGauges() }, rules, lastMs);
    await after.at(15, 15);
    expect(states(after)).toEqual(["Deep firing", "Long pending"]);
    await after.at(15);
    expect(states(after)).toEqual(["Deep firing", "Long firing"]);
    await after.at(5, 5, 5, 5, 5, 5, 5);
    expect(states(after)).toEqual(["Deep resolved", "Long resolved"]);
  });

  it("reads what it can where a record cannot be read, and writes another stream then", async () => {
    const world = setUp();
    const rules = [rule(), rule({ name: "Other" })];
    const before = await start(world, rules);
    await before.at(15);
    const records = [Uint8Array.of(255, 255, 255)];
    await world.journal.append([{ stream: "alerts/Deep/0", expectedSequence: 1, records }]);

    const after = await start(world, rules);
    expect(states(after)).toEqual(["Deep firing", "Other firing"]);
    await after.at(5);
    expect(await world.journal.listStreams("alerts/", "", 10)).toEqual(["alerts/Deep/1", "alerts/Other/0"]);
    expect(states(await start(world, rules))).toEqual(["Deep resolved", "Other resolved"]);
  });

  it("shows who looks after an alert once that is stored, and not if it cannot be", async () => {
    const world = setUp();
    const stored = Promise.withResolvers<void>();
    const { engine, at } = await start(world, [rule()]);
    const append = vi.spyOn(world.journal, "append");
    await at(15);
    const [listed] = engine.list();
    append.mockReturnValueOnce(stored.promise);
    const said = engine.acknowledge(
      "Deep",
      listed?.key ?? "",
      create(AcknowledgementSchema, { acknowledgedBy: "ada" }),
    );
    expect(engine.list()[0]?.acknowledgement).toBeUndefined();
    stored.resolve();
    await said;
    expect(engine.list()[0]?.acknowledgement?.acknowledgedBy).toBe("ada");
    append.mockRejectedValueOnce(new Error("no space left"));
    const refused = engine.acknowledge(
      "Deep",
      listed?.key ?? "",
      create(AcknowledgementSchema, { acknowledgedBy: "bob" }),
    );
    await expect(refused).rejects.toThrow("no space left");
    expect(engine.list()[0]?.acknowledgement?.acknowledgedBy).toBe("ada");
  });

  it("remembers who looks after an alert until it is over", async () => {
    const world = setUp();
    const before = await start(world, [rule()]);
    await before.at(15);
    const [listed] = before.engine.list();
    const acknowledgement = create(AcknowledgementSchema, { acknowledgedBy: "ada", note: "on it" });
    expect(await before.engine.acknowledge("Deep", listed?.key ?? "", acknowledgement)).toBe(true);
    expect(await before.engine.acknowledge("Deep", "no such alert", acknowledgement)).toBe(false);

    const after = await start(world, [rule()]);
    expect(after.engine.list()[0]?.acknowledgement).toMatchObject({ acknowledgedBy: "ada", note: "on it" });
    await after.at(5, 15);
    expect(after.engine.list()[0]?.acknowledgement).toBeUndefined();
    expect((await start(world, [rule()])).engine.list()[0]?.acknowledgement).toBeUndefined();
  });

  it("ends the alerts of a rule that is gone, and keeps those of a rule that has changed", async () => {
    const world = setUp();
    const waiting = rule({ name: "Waiting", for: { seconds: 60n } });
    const { engine, told, at } = await start(world, [rule(), rule({ name: "Other" }), waiting]);
    await at(15);
    engine.replaceRules([rule({ warning: { at: 12 } }), rule({ name: "New", warning: { at: 1 } })], world.clock.now());
    await world.clock.advance(0);
    expect(told.slice(3)).toEqual(["Other: firing > resolved", "Waiting: pending > inactive"]);
    await at(15);
    expect(states({ engine })).toEqual(["Deep firing", "New firing"]);
    expect(await world.journal.listStreams("alerts/", "", 10)).toEqual(["alerts/Deep/0", "alerts/New/0"]);
  });

  it("begins a long stream anew, with what still counts", async () => {
    const world = setUp();
    const { engine, at } = await start(world, [rule()]);
    for (let i = 0; i < 505; i++) await at(15, 5);
    await at(15);
    expect(await world.journal.listStreams("alerts/", "", 10)).toEqual(["alerts/Deep/1"]);
    expect((await world.journal.read("alerts/Deep/1", 0, 1_000)).length).toBeLessThan(100);
    expect(states({ engine })).toEqual(["Deep firing"]);
    expect(states(await start(world, [rule()]))).toEqual(["Deep firing"]);
  });

  it("knows since when an alert fires whose stream was begun anew meanwhile", async () => {
    const world = setUp();
    const startMs = world.clock.now();
    const { engine, at } = await start(world, [rule()]);
    const firesInB = () =>
      engine.history.list(({ labels, after }) => labels["queue"] === "b" && after.state === "firing", 9);
    for (let i = 0; i < 505; i++) {
      world.gauges.set("depth", world.clock.now(), 15, "b");
      if (i === 1) expect(firesInB()).toHaveLength(1);
      await at(15, 5);
    }
    expect(await world.journal.listStreams("alerts/", "", 10)).toEqual(["alerts/Deep/1"]);
    const again = await start(world, [rule()]);
    const since = again.engine.history.list(({ labels }) => labels["queue"] === "b", 9);
    expect(since.map(({ timeMs, before, after }) => [timeMs, before.state, after.state])).toEqual([
      [startMs + step, "inactive", "firing"],
    ]);
  });

  it("lets others have the event loop between many rules, and moves all that is still its rule's at once", async () => {
    const world = setUp();
    const all = Array.from({ length: 35 }, (_, i) => rule({ name: `Deep${i}` }));
    const { engine, told } = await start(world, all);
    await world.clock.advance(step);
    world.gauges.set("depth", world.clock.now(), 15);
    const evaluating = engine.evaluate(world.clock.now());
    // Behind the turn that the engine has asked for: some rules are evaluated by then, and more are to be.
    let statesMeanwhile: string[] | undefined;
    world.clock.setImmediate(() => {
      statesMeanwhile = states({ engine });
      engine.replaceRules([...all.slice(1, 34), rule({ name: "Deep34" })], world.clock.now());
    });
    await world.clock.advance(0);
    await evaluating;
    await world.clock.advance(0);
    expect(statesMeanwhile).toEqual([]);
    expect(told).toEqual(all.slice(1, 34).map(({ name }) => `${name}: inactive > firing`));
  });

  it("takes a round of samples that takes long for no clock that was set", async () => {
    const world = setUp();
    const { engine, at } = await start(world, [rule({ for: { seconds: 15n } })]);
    await at(15);
    await world.clock.advance(step);
    const [sampledMs, monotonicMs] = [world.clock.now(), world.clock.monotonic()];
    world.gauges.set("depth", sampledMs, 15);
    // The samples of that time are looked at much later.
    await world.clock.advance(9_000);
    await engine.evaluate(sampledMs, monotonicMs);
    expect(states({ engine })).toEqual(["Deep pending"]);
  });

  it("begins although the streams of rules that are gone cannot be deleted", async () => {
    const world = setUp();
    const { at } = await start(world, [rule()]);
    await at(15);
    vi.spyOn(world.journal, "deleteStreams").mockReturnValue(new Promise(() => undefined));
    expect(states(await start(world, [rule({ name: "Other" })]))).toEqual([]);
  });

  it("says once that there are more alerts of a rule than may be, and that there is room again", async () => {
    const world = setUp();
    const log = { ...silentLogger, error: vi.fn(), info: vi.fn() };
    const outbox = { appendsFor: () => [], changed: () => undefined, overdue: () => undefined };
    const engine = new AlertEngine({ ...world, log, source: world.gauges, outbox });
    await engine.open([rule()], world.clock.now());
    const at = async (value: number): Promise<void> => {
      await world.clock.advance(step);
      for (let queue = 0; queue < 501; queue++) world.gauges.set("depth", world.clock.now(), value, `${queue}`);
      await engine.evaluate(world.clock.now());
    };
    for (const value of [5, 15, 15]) await at(value);
    expect(log.error.mock.calls).toEqual([
      [{ rule: "Deep", most: 500, leftOut: 1 }, expect.stringContaining("fewer labels")],
    ]);
    // Without a value nobody knows: the samples are too old, and there are none.
    await world.clock.advance(10 * 60_000);
    await engine.evaluate(world.clock.now());
    expect(log.info).not.toHaveBeenCalled();
    await at(5);
    expect(log.info).toHaveBeenCalledOnce();
  });

  it("tells of an alert even when it cannot be stored, because that may be what it is about", async () => {
    const world = setUp();
    const journal: Journal = {
      ...world.journal,
      listStreams: async () => [],
      read: async () => [],
      append: () => new Promise(() => {}),
    } as never;
    const { told, at } = await start({ ...world, journal }, [rule()]);
    await at(15);
    expect(told).toEqual([]);
    await world.clock.advance(5_000);
    expect(told).toEqual(["Deep: inactive > firing"]);
  });
});
