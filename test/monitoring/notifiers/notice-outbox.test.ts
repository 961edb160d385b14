import { create } from "@bufbuild/protobuf";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import {
  AcknowledgementSchema,
  type LabelMatcher,
  LabelMatcherSchema,
  SilenceSchema,
} from "../../../gen/retake/v1/alert_pb.js";
import type { ResolvedRoute } from "../../../src/config/index.ts";
import { AlertEngine } from "../../../src/monitoring/alerts/alert-engine.ts";
import type { Rule } from "../../../src/monitoring/alerts/rule.ts";
import { Silences } from "../../../src/monitoring/alerts/silences.ts";
import type { Notice } from "../../../src/monitoring/notifiers/notice.ts";
import { NoticeOutbox } from "../../../src/monitoring/notifiers/notice-outbox.ts";
import type { Notifier, SendOutcome } from "../../../src/monitoring/notifiers/notifier.ts";
import { type Journal, type Logger, silentLogger, timestampFromMs } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { createSeededRandom } from "../../../src/testing/seeded-random.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/virtual-clock.ts";
import { rule, TestGauges } from "../alerts/rules.ts";

const hour = 3_600_000;
const levels = { warning: { at: 10 }, critical: { at: 20 } };

interface World {
  readonly clock: VirtualClock;
  readonly journal: Journal;
  readonly gauges: TestGauges;
}

function setUp(): World {
  const clock = createVirtualClock();
  const { journal } = createMemoryStorage({ clock });
  return { clock, journal, gauges: new TestGauges() };
}

/** Takes down what it is told; answers what the test wants. */
class TestNotifier implements Notifier {
  readonly name: string;
  readonly most = 3;
  readonly maxPerMinute: number = 600;
  readonly acknowledges: boolean = false;
  readonly forPeople: boolean = false;
  readonly heartbeatMs?: number;
  readonly told: string[] = [];
  readonly ids: string[] = [];
  readonly notices: Notice[] = [];
  answer: () => SendOutcome | Promise<SendOutcome> = () => ({ kind: "delivered" });

  constructor(name: string, init: Partial<Notifier> = {}) {
    this.name = name;
    Object.assign(this, init);
  }

  async send({ notices, id, signal }: Parameters<Notifier["send"]>[0]): Promise<SendOutcome> {
    this.ids.push(id);
    this.notices.push(...notices);
    const line = notices.map(
      ({ labels, severity, status, acknowledgedBy }) =>
        `${labels["queue"]} ${status === "resolved" ? "resolved" : severity}${acknowledgedBy ? ` by ${acknowledgedBy}` : ""}`,
    );
    this.told.push(line.join(", "));
    const given = Promise.withResolvers<SendOutcome>();
    signal.addEventListener("abort", () => given.resolve({ kind: "failed", error: "stopped" }));
    return Promise.race([this.answer(), given.promise]);
  }
}

async function start(
  world: World,
  notifiers: readonly Notifier[],
  options: { rules?: readonly Rule[]; routes?: readonly ResolvedRoute[]; log?: Logger } = {},
) {
  const { clock, journal, gauges } = world;
  const { rules = [rule(levels)], routes = [], log = silentLogger } = options;
  const outcomes: string[] = [];
  const silences = new Silences({ journal, clock });
  await silences.open();
  const outbox = new NoticeOutbox({
    ...{ journal, clock, random: createSeededRandom(1), log, silences },
    current: (name, key) => engine.alertOf(name, key),
    onOutcome: (notifier, outcome) => outcomes.push(`${notifier} ${outcome}`),
  });
  const engine: AlertEngine = new AlertEngine({ clock, journal, log: silentLogger, source: gauges, outbox });
  await outbox.open();
  await outbox.configure(notifiers, routes);
  await engine.open(rules, clock.now());
  outbox.reconcile(engine.list());
  outbox.start();
  await clock.advance(0);
  onTestFinished(() => outbox.stop());
  /** Ten seconds later each queue is that long, and what follows has happened. */
  const at = async (...values: (number | Record<string, number>)[]): Promise<void> => {
    for (const value of values) {
      await clock.advance(10_000);
      const queues = typeof value === "number" ? { a: value } : value;
      for (const [queue, depth] of Object.entries(queues)) gauges.set("depth", clock.now(), depth, queue);
      await engine.evaluate(clock.now());
      outbox.tick();
      await clock.advance(100);
    }
  };
  const acknowledge = async (by: string | undefined, expireMs?: number): Promise<void> => {
    const [listed] = engine.list();
    const expires = expireMs !== undefined && { expireTime: timestampFromMs(expireMs) };
    const acknowledgement = by && create(AcknowledgementSchema, { acknowledgedBy: by, ...expires });
    await engine.acknowledge("Deep", listed?.key ?? "", acknowledgement || undefined);
    await clock.advance(100);
  };
  return { engine, outbox, silences, outcomes, at, acknowledge };
}

function matcher(label: string, value: string): LabelMatcher {
  return create(LabelMatcherSchema, { label, value });
}

async function streams(journal: Journal): Promise<readonly string[]> {
  return journal.listStreams("notices/", "", 100);
}

describe("NoticeOutbox", () => {
  it("tells that an alert fires, gets worse, gets better and is over, and forgets it then", async () => {
    const world = setUp();
    const chat = new TestNotifier("chat");
    const { at } = await start(world, [chat]);
    await at(5, 15, 15, 25, 15, 5, 5);
    expect(chat.told).toEqual(["a warning", "a critical", "a warning", "a resolved"]);
    expect(await streams(world.journal)).toEqual([]);
  });

  it("tells again after the repeat interval, and not before", async () => {
    const world = setUp();
    const chat = new TestNotifier("chat");
    const { at } = await start(world, [chat], {
      routes: [{ matchers: [], notifiers: ["chat"], continue: false, repeatMs: 60_000 }],
    });
    await at(15, 15, 15, 15, 15);
    expect(chat.told).toEqual(["a warning"]);
    await at(15, 15);
    expect(chat.told).toEqual(["a warning", "a warning"]);
    expect(chat.ids[0]).not.toBe(chat.ids[1]);
  });

  it("puts alerts together, as many as a message takes, critical ones first", async () => {
    const world = setUp();
    const chat = new TestNotifier("chat");
    const { at } = await start(world, [chat]);
    await at({ a: 15, b: 15, c: 25, d: 15 });
    expect(chat.told).toEqual(["c critical, a warning, b warning", "d warning"]);
  });

  it("tries again until it is taken, with the newest, and the same id for the same message", async () => {
    const world = setUp();
    const chat = new TestNotifier("chat");
    chat.answer = () => ({ kind: "failed", error: "no" });
    const { at, outcomes } = await start(world, [chat]);
    await at(15);
    await world.clock.advance(4_000);
    expect(chat.told).toEqual(["a warning", "a warning", "a warning"]);
    expect(new Set(chat.ids).size).toBe(1);
    await at(25);
    chat.answer = () => ({ kind: "delivered" });
    await world.clock.advance(60_000);
    expect(chat.told.at(-1)).toBe("a critical");
    expect(outcomes.at(-1)).toBe("chat delivered");
    expect(outcomes).toContain("chat failed");
  });

  it("leaves a notifier alone for a minute after five failures, and then has one trial", async () => {
    const world = setUp();
    const chat = new TestNotifier("chat");
    chat.answer = () => ({ kind: "failed", error: "no" });
    const { at } = await start(world, [chat]);
    await at(15);
    await world.clock.advance(20_000);
    expect(chat.told).toHaveLength(5);
    await world.clock.advance(35_000);
    expect(chat.told).toHaveLength(5);
    await world.clock.advance(20_000);
    expect(chat.told).toHaveLength(6);
  });

  it("waits as long as the receiver asks for", async () => {
    const world = setUp();
    const chat = new TestNotifier("chat");
    chat.answer = () => ({ kind: "failed", error: "busy", retryAfterMs: 30_000 });
    const { at } = await start(world, [chat]);
    await at(15);
    await world.clock.advance(29_000);
    expect(chat.told).toHaveLength(1);
    await world.clock.advance(2_000);
    expect(chat.told).toHaveLength(2);
  });

  it("sends no more in a minute than may be, and puts together what waits", async () => {
    const world = setUp();
    const chat = new TestNotifier("chat", { maxPerMinute: 1 });
    const { at } = await start(world, [chat]);
    await at({ a: 15 }, { b: 15 }, { c: 15 });
    expect(chat.told).toEqual(["a warning"]);
    await world.clock.advance(45_000);
    expect(chat.told).toEqual(["a warning", "b warning, c warning"]);
  });

  it("tells alerts one by one once a message is refused, and goes on without the one that is", async () => {
    const world = setUp();
    const chat = new TestNotifier("chat");
    chat.answer = () => (chat.told.at(-1)?.includes("b") ? { kind: "refused", error: "no" } : { kind: "delivered" });
    const { at } = await start(world, [chat]);
    await at({ a: 15, b: 15 });
    expect(chat.told).toEqual(["a warning, b warning", "a warning", "b warning"]);
    await at({ a: 15, b: 15 });
    expect(chat.told).toHaveLength(3);
  });

  it("does not tell the end of an alert to whoever has refused all that was told of it", async () => {
    const world = setUp();
    const chat = new TestNotifier("chat");
    chat.answer = () => (chat.told.at(-1) === "a critical" ? { kind: "delivered" } : { kind: "refused", error: "no" });
    const { at } = await start(world, [chat]);
    await at(15, 5, 5);
    expect(chat.told).toEqual(["a warning"]);
    expect(await streams(world.journal)).toEqual([]);
    await at(25, 15, 5, 5);
    expect(chat.told).toEqual(["a warning", "a critical", "a warning", "a resolved"]);
  });

  it("keeps what is silenced to itself until the silence ends, and tells that what it has told is over", async () => {
    const world = setUp();
    const chat = new TestNotifier("chat");
    const { at, silences } = await start(world, [chat]);
    await at({ a: 15 });
    const endTime = timestampFromMs(world.clock.now() + 45_000);
    await silences.set(create(SilenceSchema, { silenceId: "s", matchers: [matcher("alertname", "Deep")], endTime }));
    await at({ a: 5, b: 15 }, { b: 15 }, { b: 15 });
    expect(chat.told).toEqual(["a warning", "a resolved"]);
    await at({ b: 15 }, { b: 15 });
    expect(chat.told).toEqual(["a warning", "a resolved", "b warning"]);
  });

  it("says nothing of what has come and gone while it was silenced", async () => {
    const world = setUp();
    const chat = new TestNotifier("chat");
    const { at, silences } = await start(world, [chat]);
    const endTime = timestampFromMs(world.clock.now() + hour);
    await silences.set(create(SilenceSchema, { silenceId: "s", matchers: [matcher("queue", "a")], endTime }));
    await at(15, 15, 5, 5);
    expect(chat.told).toEqual([]);
    expect(await streams(world.journal)).toEqual([]);
  });

  it("does not repeat what somebody looks after until it gets worse, or that expires", async () => {
    const world = setUp();
    const [chat, pager] = [new TestNotifier("chat"), new TestNotifier("pager", { acknowledges: true })];
    const routes = [{ matchers: [], notifiers: ["chat", "pager"], continue: false, repeatMs: 60_000 }];
    const { at, acknowledge } = await start(world, [chat, pager], { routes });
    await at(15);
    await acknowledge("ada", world.clock.now() + 120_000);
    await at(15, 15, 15, 15, 15, 15, 15);
    expect(chat.told).toEqual(["a warning"]);
    expect(pager.told).toEqual(["a warning", "a warning by ada"]);
    await at(15, 15, 15, 15, 15, 15);
    expect(chat.told).toHaveLength(2);
    await acknowledge("ada");
    await at(25);
    expect(chat.told.at(-1)).toBe("a critical");
    expect(pager.told.at(-1)).toBe("a critical");
  });

  it("goes by routes: the first that matches, and those behind it where it says so", async () => {
    const world = setUp();
    const [chat, pager, all] = [new TestNotifier("chat"), new TestNotifier("pager"), new TestNotifier("all")];
    const { at } = await start(world, [chat, pager, all], {
      routes: [
        { matchers: [], notifiers: ["all"], continue: true },
        { matchers: [matcher("severity", "critical")], notifiers: ["pager"], continue: false },
        { matchers: [], notifiers: ["chat"], continue: false },
      ],
    });
    await at(15, 25, 15, 5);
    expect(all.told).toEqual(["a warning", "a critical", "a warning", "a resolved"]);
    expect(chat.told).toEqual(["a warning", "a resolved", "a warning", "a resolved"]);
    expect(pager.told).toEqual(["a critical", "a resolved"]);
  });

  it("tells by default an alert that always fires to machines alone", async () => {
    const world = setUp();
    const [chat, hook] = [new TestNotifier("chat", { forPeople: true }), new TestNotifier("hook")];
    const { at } = await start(world, [chat, hook], { rules: [rule({ labels: { deadman: "true" } })] });
    await at(15, 15, 15, 15, 15, 15, 15);
    expect(chat.told).toEqual([]);
    expect(hook.told).toEqual(["a warning", "a warning"]);
  });

  it("tells whoever takes silence for an end again each minute, looked after or not", async () => {
    const world = setUp();
    const manager = new TestNotifier("manager", { heartbeatMs: 60_000 });
    const { at, acknowledge } = await start(world, [manager]);
    await at(15);
    await acknowledge("ada");
    await at(15, 15, 15, 15, 15, 15);
    expect(manager.told).toHaveLength(2);
  });

  it("goes on to tell such a one what it has been told while that is silenced, and nothing that is news", async () => {
    const world = setUp();
    const [manager, chat] = [new TestNotifier("manager", { heartbeatMs: 60_000 }), new TestNotifier("chat")];
    const { at, silences } = await start(world, [manager, chat]);
    await at({ a: 15 });
    const endTime = timestampFromMs(world.clock.now() + hour);
    await silences.set(create(SilenceSchema, { silenceId: "s", matchers: [matcher("alertname", "Deep")], endTime }));
    for (let i = 0; i < 12; i++) await at({ a: 25, b: 15 });
    expect(manager.told).toEqual(["a warning", "a warning", "a warning"]);
    expect(chat.told).toEqual(["a warning"]);
    await silences.set(
      create(SilenceSchema, {
        silenceId: "s",
        endTime: timestampFromMs(world.clock.now()),
        matchers: [matcher("a", "b")],
      }),
    );
    await at({ a: 25 });
    expect(manager.told.slice(3)).toEqual(["a critical, b warning"]);
  });

  it("tells such a one the end of an alert for a quarter of an hour, over restarts, and then forgets it", async () => {
    const world = setUp();
    const manager = new TestNotifier("manager", { heartbeatMs: 60_000 });
    const before = await start(world, [manager]);
    await before.at(15, 5, 5, 5);
    expect(manager.told).toEqual(["a warning", "a resolved"]);
    for (let i = 0; i < 30; i++) await before.at(5);
    expect(manager.told.slice(2)).toEqual(Array(5).fill("a resolved"));
    await before.outbox.stop();

    const again = new TestNotifier("manager", { heartbeatMs: 60_000 });
    const after = await start(world, [again]);
    for (let i = 0; i < 70; i++) await after.at(5);
    expect(again.told.length).toBeGreaterThanOrEqual(8);
    expect(again.told.length).toBeLessThanOrEqual(10);
    expect(await streams(world.journal)).toEqual([]);
  });

  it("tells the value and the texts of the time when it tells", async () => {
    const world = setUp();
    const manager = new TestNotifier("manager", { heartbeatMs: 60_000 });
    const { at } = await start(world, [manager], {
      rules: [rule({ ...levels, annotations: { summary: "{{ $value }} wait" } })],
    });
    await at(12, 13, 14, 15, 16, 17, 18);
    expect(manager.notices.map(({ value, annotations }) => [value, annotations["summary"]])).toEqual([
      [12, "12 wait"],
      [18, "18 wait"],
    ]);
  });

  it("ends an alert with the labels that it was told with, over restarts, whatever the rule says by then", async () => {
    const world = setUp();
    const labels = ({ notices }: TestNotifier) => notices.map((each) => [each.status, each.labels["team"]]);
    const chat = new TestNotifier("chat");
    const before = await start(world, [chat], { rules: [rule({ labels: { team: "old" } })] });
    await before.at(15);
    await before.outbox.stop();
    const again = new TestNotifier("chat");
    const after = await start(world, [again], { rules: [rule({ labels: { team: "new" } })] });
    await after.at(15, 5);
    expect([...labels(chat), ...labels(again)]).toEqual([
      ["firing", "old"],
      ["resolved", "old"],
    ]);
  });

  it("tells whoever is told again and again which labels are over when they have changed", async () => {
    const world = setUp();
    const manager = new TestNotifier("manager", { heartbeatMs: 60_000 });
    const { at, engine, outbox } = await start(world, [manager], { rules: [rule({ labels: { team: "old" } })] });
    await at(15);
    engine.replaceRules([rule({ labels: { team: "new" } })], world.clock.now());
    outbox.reconcile(engine.list());
    await at(15, 15, 15, 15, 15, 15);
    const [first, second] = manager.notices;
    expect([first?.labels["team"], first?.before]).toEqual(["old", undefined]);
    expect(second?.labels["team"]).toBe("new");
    expect(second?.before?.map((ended) => ended.labels["team"])).toEqual(["old"]);
  });

  it("names no severity as over that was never told, and the one before for a while", async () => {
    const world = setUp();
    const manager = new TestNotifier("manager", { heartbeatMs: 60_000 });
    const { at } = await start(world, [manager]);
    await at(25);
    await at(...Array(7).fill(15));
    await at(...Array(100).fill(15));
    const before = manager.notices.map((each) => each.before?.map((ended) => ended.labels["severity"]).join() ?? "");
    expect(before.slice(0, 4)).toEqual(["", "critical", "critical", "critical"]);
    expect(before.at(-1)).toBe("");
  });

  it("goes on after a restart: tells what was not told, nothing twice, and ends what is over", async () => {
    const world = setUp();
    const [chat, pager] = [new TestNotifier("chat"), new TestNotifier("pager")];
    pager.answer = () => ({ kind: "failed", error: "no" });
    const before = await start(world, [chat, pager]);
    await before.at(15);
    await before.outbox.stop();

    const [chatAgain, pagerAgain] = [new TestNotifier("chat"), new TestNotifier("pager")];
    const after = await start(world, [chatAgain, pagerAgain]);
    await after.at(15);
    expect(chatAgain.told).toEqual([]);
    expect(pagerAgain.told).toEqual(["a warning"]);
    await after.outbox.stop();

    const last = new TestNotifier("chat");
    await start(world, [last], { rules: [] });
    await world.clock.advance(1_000);
    expect(last.told).toEqual(["a resolved"]);
    expect(await streams(world.journal)).toEqual([]);
  });

  it("tells what may have been told that it is over, though no answer has come", async () => {
    const world = setUp();
    const chat = new TestNotifier("chat");
    chat.answer = () => new Promise(() => undefined);
    const before = await start(world, [chat]);
    await before.at(15);
    expect(chat.told).toHaveLength(1);
    await before.outbox.stop();

    const again = new TestNotifier("chat");
    const after = await start({ ...world, gauges: new TestGauges() }, [again], { rules: [] });
    await world.clock.advance(1_000);
    expect(again.told).toEqual(["a resolved"]);
    await after.outbox.stop();
  });

  it("tells a notifier that is new of what fires already", async () => {
    const world = setUp();
    const [chat, late] = [new TestNotifier("chat"), new TestNotifier("late")];
    const { at, outbox, engine } = await start(world, [chat]);
    await at(15);
    await outbox.configure([chat, late], []);
    outbox.reconcile(engine.list());
    await world.clock.advance(100);
    expect(late.told).toEqual(["a warning"]);
    expect(chat.told).toEqual(["a warning"]);
  });

  it("tells a notifier that is taken out that what it was told of is over, and another one what fires", async () => {
    const world = setUp();
    const [pager, other] = [new TestNotifier("pager"), new TestNotifier("other")];
    const { at, outbox, engine } = await start(world, [pager]);
    await at(15);
    await outbox.configure([other], []);
    outbox.reconcile(engine.list());
    await world.clock.advance(100);
    expect(pager.told).toEqual(["a warning", "a resolved"]);
    expect(other.told).toEqual(["a warning"]);
    await at(25);
    expect(pager.told).toHaveLength(2);
    expect((await streams(world.journal)).map((stream) => stream.split("/")[1])).toEqual(["other"]);
  });

  it("says whom it could not tell what is over: one that does not answer any more, or is of an earlier process", async () => {
    const world = setUp();
    const pager = new TestNotifier("pager");
    const warn = vi.fn();
    const { at, outbox } = await start(world, [pager], { log: { ...silentLogger, warn } });
    await at(15);
    pager.answer = () => ({ kind: "failed", error: "no" });
    await outbox.configure([], []);
    await at({});
    warn.mockClear();
    expect(await streams(world.journal)).toHaveLength(1);
    // Configured again it has what is left of its time, and not all of it once more.
    await world.clock.advance(10 * 60_000);
    await outbox.configure([], []);
    await world.clock.advance(10 * 60_000);
    await at({});
    const gone = [{ notifier: "pager", alerts: 1 }, expect.stringContaining("does not hear that they are over")];
    expect(warn.mock.calls).toContainEqual(gone);
    expect(await streams(world.journal)).toEqual([]);

    const again = new TestNotifier("pager");
    await outbox.configure([again], []);
    await at(25);
    expect(again.told).toEqual(["a critical"]);
    await outbox.stop();
    const after = vi.fn();
    await start(world, [new TestNotifier("other")], { log: { ...silentLogger, warn: after } });
    expect(after.mock.calls).toEqual([gone]);
  });

  it("does not wait for long for a storage that hangs while a notifier comes, or somebody looks after an alert", async () => {
    const world = setUp();
    const [chat, late] = [new TestNotifier("chat"), new TestNotifier("late")];
    const { at, outbox, engine } = await start(world, [chat]);
    await at(15);
    vi.spyOn(world.journal, "append").mockImplementation(() => new Promise(() => undefined));
    await outbox.configure([chat, late], []);
    outbox.reconcile(engine.list());
    await world.clock.advance(4_000);
    expect(late.told).toEqual([]);
    await world.clock.advance(1_100);
    expect(late.told).toEqual(["a warning"]);
    const acknowledged = create(AcknowledgementSchema, { acknowledgedBy: "anna" });
    void engine.acknowledge("Deep", engine.list()[0]?.key ?? "", acknowledged);
    await at(5);
    await world.clock.advance(10_000);
    expect(chat.told.at(-1)).toBe("a resolved");
    expect(late.told.at(-1)).toBe("a resolved");
  });
});
