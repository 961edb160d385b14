import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, it } from "vitest";
import { AcknowledgementSchema } from "../../../gen/retake/v1/alert_pb.js";
import { viewAlert } from "../../../src/monitoring/alerts/alert.ts";
import { AlertEngine } from "../../../src/monitoring/alerts/alert-engine.ts";
import { noSeriesStorage } from "../../../src/monitoring/series/series-storage.ts";
import { SeriesStore } from "../../../src/monitoring/series/series-store.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";
import { rule } from "./rules.ts";

const stepMs = 10_000;
const rules = [
  rule({
    ...{ for: { seconds: 20n }, keepFiringFor: { seconds: 30n } },
    ...{ warning: { at: 10, clear: 8 }, critical: { at: 20 } },
  }),
];

/** What happens between two evaluations, and the sample of the second one. */
interface Turn {
  readonly value: number;
  readonly jumpMs: number;
  readonly restart: boolean;
  readonly acknowledge: boolean;
}

/** Alerts on a clock of their own, of which everything but the journal and the series may be lost. */
async function openAlerts() {
  const clock = createVirtualClock();
  const { journal } = createMemoryStorage({ clock });
  const store = await SeriesStore.open({ clock, log: silentLogger, storage: noSeriesStorage });
  const outbox = { appendsFor: () => [], changed: () => undefined, overdue: () => undefined };
  const open = async (): Promise<AlertEngine> => {
    const engine = new AlertEngine({ clock, journal, log: silentLogger, source: store, outbox });
    await engine.open(rules, store.newestMs);
    return engine;
  };
  let engine = await open();
  return {
    restart: async () => {
      engine = await open();
    },
    jump: (ms: number) => clock.jump(ms),
    /** Ten seconds later; answers what people see of it. */
    async turn({ value, acknowledge }: Turn): Promise<unknown> {
      await clock.advance(stepMs);
      store.advance(clock.now());
      const depth = store.series("depth", {}, "gauge");
      if (depth !== undefined) store.append(depth, clock.now(), value);
      await engine.evaluate(clock.now());
      await clock.advance(0);
      if (acknowledge) {
        for (const { rule: of, key } of engine.list()) {
          await engine.acknowledge(of.name, key, create(AcknowledgementSchema, { note: "on it" }));
        }
      }
      return engine.list().map(({ alert, acknowledgement }) => [viewAlert(alert), acknowledgement?.note]);
    },
  };
}

const turns = fc.array(
  fc.record<Turn>({
    value: fc.constantFrom(5, 9, 15, 25),
    jumpMs: fc.oneof(
      { weight: 3, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.integer({ min: 10_000, max: 100_000_000 }) },
      // Set back by less, a sample or two are left out.
      { weight: 1, arbitrary: fc.integer({ min: -100_000_000, max: -40_000 }) },
    ),
    restart: fc.nat(3).map((n) => n === 0),
    acknowledge: fc.nat(5).map((n) => n === 0),
  }),
  { minLength: 5, maxLength: 40 },
);

it("restarts, and clocks that are set, change nothing of what fires and of who looks after it", async () => {
  await fc.assert(
    fc.asyncProperty(turns, async (all) => {
      const [calm, troubled] = [await openAlerts(), await openAlerts()];
      for (const turn of all) {
        // What an administrator does to the clock while there is no process, nobody can tell from time that has passed.
        if (turn.restart) await troubled.restart();
        else troubled.jump(turn.jumpMs);
        expect(await troubled.turn(turn)).toEqual(await calm.turn(turn));
      }
    }),
    { numRuns: 40, seed: 7 },
  );
});
