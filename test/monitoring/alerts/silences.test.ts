import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { MatcherOperator, SilenceSchema } from "../../../gen/retake/v1/alert_pb.js";
import { Silences } from "../../../src/monitoring/alerts/silences.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";

const minute = 60_000;

function setUp() {
  const clock = createVirtualClock();
  const { journal } = createMemoryStorage({ clock });
  const silence = (
    silenceId: string,
    fromMs: number,
    toMs: number,
    init: MessageInitShape<typeof SilenceSchema> = {},
  ) =>
    create(SilenceSchema, {
      silenceId,
      matchers: [{ label: "team", value: "render" }],
      startTime: timestampFromMs(clock.now() + fromMs),
      endTime: timestampFromMs(clock.now() + toMs),
      ...(init as object),
    });
  return { clock, journal, silence, silences: new Silences({ journal, clock }) };
}

const render = { team: "render", alertname: "Deep" };

describe("Silences", () => {
  it("hold from their beginning to their end, for labels that all matchers match", async () => {
    const { clock, silences, silence } = setUp();
    const matchers = [
      { label: "team", value: "render" },
      { label: "alertname", operator: MatcherOperator.MATCHES, value: "Dee.*" },
    ];
    await silences.set(silence("s", minute, 2 * minute, { matchers }));
    expect(silences.of(render)).toEqual([]);
    await clock.advance(minute);
    expect(silences.of(render)).toEqual(["s"]);
    expect(silences.of({ ...render, team: "ops" })).toEqual([]);
    await clock.advance(minute);
    expect(silences.of(render)).toEqual([]);
  });

  it("survive a restart, and are changed and ended", async () => {
    const { clock, journal, silences, silence } = setUp();
    await silences.set(silence("s", 0, minute));
    await silences.set(silence("s", 0, 10 * minute, { comment: "longer" }));
    await clock.advance(5 * minute);
    const after = new Silences({ journal, clock });
    await after.open();
    expect(after.of(render)).toEqual(["s"]);
    expect(after.get("s")?.comment).toBe("longer");
    expect(await after.expire("s")).toBe(true);
    expect(await after.expire("none")).toBe(false);
    expect(after.of(render)).toEqual([]);
    const last = new Silences({ journal, clock });
    await last.open();
    expect(last.of(render)).toEqual([]);
  });

  it("that have begun hold on when the clock is set back, over a restart too", async () => {
    const { clock, journal, silences, silence } = setUp();
    await silences.set(silence("now", 0, 60 * minute));
    await silences.set(silence("soon", minute, 60 * minute));
    await clock.advance(2 * minute);
    expect(silences.of(render)).toEqual(["now", "soon"]);
    clock.jump(-60 * minute);
    expect(silences.of(render)).toEqual(["now", "soon"]);
    const after = new Silences({ journal, clock });
    await after.open();
    expect(after.of(render)).toEqual(["now"]);
  });

  it("are forgotten a day after their end", async () => {
    const { clock, journal, silences, silence } = setUp();
    await silences.set(silence("old", 0, minute));
    await clock.advance(25 * 60 * minute);
    await silences.set(silence("new", 0, minute));
    expect(silences.list().map(({ silenceId }) => silenceId)).toEqual(["new"]);
    expect(await journal.listStreams("silences/", "", 10)).toEqual(["silences/new"]);
  });

  it("refuse an expression that is none, and stay as they were", async () => {
    const { silences, silence } = setUp();
    const matchers = [{ label: "team", operator: MatcherOperator.MATCHES, value: "(" }];
    await expect(silences.set(silence("s", 0, minute, { matchers }))).rejects.toThrow(/"team"/);
    expect(silences.list()).toEqual([]);
  });
});
