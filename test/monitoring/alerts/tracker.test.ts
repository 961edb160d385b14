import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  inactive,
  isFiring,
  resolvedRetentionMs,
  type TrackerState,
  type TrackerTimes,
  track,
} from "../../../src/monitoring/alerts/tracker.ts";

const step = 10_000;

/** The states after evaluations every ten seconds, each a hit ("!") or none ("."). */
function states(hits: string, times: Partial<TrackerTimes> = {}): TrackerState[] {
  let state: TrackerState = inactive;
  return Array.from(hits, (hit, i) => {
    state = track(state, hit === "!", i * step, { forMs: 0, keepFiringForMs: 0, ...times });
    return state;
  });
}

const kinds = (hits: string, times?: Partial<TrackerTimes>): string[] => states(hits, times).map(({ kind }) => kind);

describe("track", () => {
  it("fires at once without `for`", () => {
    expect(kinds(".!!.")).toEqual(["inactive", "firing", "firing", "resolved"]);
  });

  it("fires when it was hit at each evaluation for long enough, counted from the first", () => {
    expect(kinds("!!!!", { forMs: 2 * step })).toEqual(["pending", "pending", "firing", "firing"]);
    expect(states("!!!", { forMs: 2 * step })[2]).toEqual({ kind: "firing", activeMs: 0, firedMs: 2 * step });
  });

  it("drops a pending one at the first miss", () => {
    expect(kinds("!!.!!!", { forMs: 2 * step })).toEqual([
      "pending",
      "pending",
      "inactive",
      "pending",
      "pending",
      "firing",
    ]);
  });

  it("fires on for as long as it is to be kept, counted from the first miss and anew after a hit", () => {
    expect(kinds("!..!...", { keepFiringForMs: 2 * step })).toEqual([
      ...["firing", "recovering", "recovering", "firing", "recovering", "recovering", "resolved"],
    ]);
  });

  it("tells of its end for a quarter of an hour", () => {
    const rounds = resolvedRetentionMs / step;
    const all = kinds(`!${".".repeat(rounds + 3)}`);
    expect(all.filter((kind) => kind === "resolved")).toHaveLength(rounds + 1);
    expect(all.at(-1)).toBe("inactive");
  });

  it("begins anew when it is hit after its end", () => {
    expect(states("!.!", { forMs: step })[2]).toEqual({ kind: "pending", activeMs: 2 * step });
    expect(states("!.!")[2]).toEqual({ kind: "firing", activeMs: 2 * step, firedMs: 2 * step });
  });

  it("fires only if it was hit throughout `for` before", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 60 }), fc.nat(6), fc.nat(6), (hits, rounds, kept) => {
        const all = states(hits.map((hit) => (hit ? "!" : ".")).join(""), {
          forMs: rounds * step,
          keepFiringForMs: kept * step,
        });
        for (const [i, state] of all.entries()) {
          const lately = hits.slice(Math.max(0, i - rounds), i + 1);
          if (state.kind === "firing" && all[i - 1]?.kind !== "firing" && all[i - 1]?.kind !== "recovering") {
            expect(lately).toHaveLength(rounds + 1);
            expect(lately.every((hit) => hit)).toBe(true);
          }
          if (!isFiring(state) && i > 0 && isFiring(all[i - 1] ?? inactive)) {
            expect(hits.slice(Math.max(0, i - kept), i + 1)).not.toContain(true);
          }
        }
      }),
    );
  });
});
