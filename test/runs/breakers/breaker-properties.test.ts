import fc from "fast-check";
import { expect, it } from "vitest";
import { BreakerState } from "../../../gen/retake/v1/breaker_pb.js";
import { createBreaker, policy as defaults } from "./breaker-harness.ts";

type Step =
  | { readonly kind: "arrive" }
  | { readonly kind: "end"; readonly which: number; readonly verdict: "success" | "failure" | undefined }
  | { readonly kind: "leave"; readonly which: number }
  | { readonly kind: "pass"; readonly ms: number }
  | { readonly kind: "jump"; readonly ms: number }
  | { readonly kind: "force"; readonly open: boolean; readonly ttlMs: number | undefined }
  | { readonly kind: "unforce" };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("arrive" as const) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("end" as const),
      which: fc.nat(),
      verdict: fc.constantFrom("success" as const, "failure" as const, "failure" as const, undefined),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("leave" as const), which: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 40_000 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("jump" as const), ms: fc.integer({ min: -1e6, max: 1e6 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("force" as const),
      open: fc.boolean(),
      ttlMs: fc.option(fc.integer({ min: 1000, max: 100_000 }), { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("unforce" as const) }) },
);

const settings = fc.record({
  volumeThreshold: fc.integer({ min: 1, max: 6 }),
  errorThresholdPercentage: fc.integer({ min: 1, max: 100 }),
  successThreshold: fc.integer({ min: 1, max: 3 }),
});

it("makes no call while it is open but one trial at a time, and leaves nobody behind, whatever happens", async () => {
  await fc.assert(
    fc.asyncProperty(settings, fc.array(step, { maxLength: 120, size: "max" }), async (policy, steps) => {
      const { breaker, clock, woken, begin, events } = createBreaker({ policy });
      const running = new Map<string, { readonly end: ReturnType<typeof begin>; readonly generation: number }>();
      const parked = new Set<string>();
      let arrivals = 0;
      let stepMs = 0;
      let seen = { generation: 0, sinceMs: 0 };
      const come = (runId: string): void => {
        const refusal = breaker.refusal(runId);
        if (refusal !== undefined) {
          parked.add(runId);
          breaker.hold(runId, 0, Number(runId));
          return;
        }
        parked.delete(runId);
        expect(breaker.state).not.toBe(BreakerState.OPEN);
        running.set(runId, { end: begin(runId), generation: breaker.generation });
        if (breaker.state === BreakerState.HALF_OPEN) {
          const trials = [...running.values()].filter(({ generation }) => generation === breaker.generation);
          if (seen.generation !== breaker.generation) seen = { generation: breaker.generation, sinceMs: stepMs };
          // One more for each time that it had the patience to wait for one.
          const patienceMs = Math.max(defaults.resetTimeoutMs, defaults.windowMs);
          expect(trials.length).toBeLessThanOrEqual(1 + Math.floor((clock.monotonic() - seen.sinceMs) / patienceMs));
        }
      };
      // Those that are woken come, like a scheduler has them.
      const settle = (): void => {
        for (let runId = woken.shift(); runId !== undefined; runId = woken.shift()) {
          if (parked.has(runId) && !breaker.keeps(runId, 0, Number(runId))) come(runId);
        }
      };
      for (const each of steps) {
        const before = breaker.generation;
        stepMs = clock.monotonic();
        switch (each.kind) {
          case "arrive":
            come(String(arrivals++));
            break;
          case "end": {
            const runId = [...running.keys()][each.which % Math.max(1, running.size)];
            const attempt = running.get(runId ?? "");
            if (runId !== undefined && attempt !== undefined) {
              running.delete(runId);
              attempt.end(each.verdict);
              // What began in an older generation moves nothing.
              if (attempt.generation !== before) expect(breaker.generation).toBe(before);
            }
            break;
          }
          case "leave": {
            const runId = [...parked][each.which % Math.max(1, parked.size)];
            if (runId !== undefined) {
              parked.delete(runId);
              breaker.withdraw(runId);
            }
            break;
          }
          case "pass":
            await clock.advance(each.ms);
            break;
          case "jump":
            clock.jump(each.ms);
            break;
          case "force": {
            const untilMs = each.ttlMs === undefined ? undefined : clock.now() + each.ttlMs;
            breaker.force({ open: each.open, requestedBy: "ana", reason: "", untilMs });
            break;
          }
          case "unforce":
            breaker.unforce("ana", "");
            break;
        }
        settle();
        expect(breaker.waiting).toBe(parked.size);
        expect(events).toHaveLength(breaker.generation);
      }
      // Once the back-end does well and nobody forces anything, all go, and it is closed.
      breaker.unforce("ana", "");
      for (let round = 0; round < 60 && (running.size > 0 || parked.size > 0); round++) {
        settle();
        for (const [runId, { end }] of [...running]) {
          running.delete(runId);
          end("success");
        }
        settle();
        await clock.advance(30_000);
      }
      settle();
      expect([...parked, ...running.keys()]).toEqual([]);
      breaker.stop();
      expect(clock.pendingTimers).toBe(0);
    }),
    { numRuns: 150 },
  );
});
