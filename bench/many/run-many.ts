import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readMachine } from "../machine.ts";
import type { Report } from "../report.ts";
import { evaluateManyFigure, type ManyFigure } from "./figures.ts";
import { measureAlerts } from "./measure/alerts.ts";
import { measureAtOnce } from "./measure/at-once.ts";
import { measureBreaker } from "./measure/breaker.ts";
import { measureEvents } from "./measure/events.ts";
import { measureFailing } from "./measure/failing.ts";
import { measureFinished } from "./measure/finished.ts";
import { measureOverload } from "./measure/overload.ts";
import { measureParked } from "./measure/parked.ts";
import { measureQueued } from "./measure/queued.ts";
import { measureRecovery } from "./measure/recovery.ts";
import { measureScrape } from "./measure/scrape.ts";
import { measureSeries } from "./measure/series.ts";
import { measureShedding } from "./measure/shedding.ts";
import { measureStartUp } from "./measure/start-up.ts";
import { measureWatchers } from "./measure/watchers.ts";
import { type Scenario, type ScenarioOptions, scenarios, type Values } from "./scenarios.ts";

const measures: Readonly<Record<Scenario, (options: ScenarioOptions) => Promise<Values>>> = {
  "start-up": measureStartUp,
  recovery: measureRecovery,
  watchers: measureWatchers,
  events: measureEvents,
  queued: measureQueued,
  "at-once": measureAtOnce,
  finished: measureFinished,
  overload: measureOverload,
  shedding: measureShedding,
  failing: measureFailing,
  breaker: measureBreaker,
  parked: measureParked,
  alerts: measureAlerts,
  series: measureSeries,
  scrape: measureScrape,
};

export interface ManyOptions {
  /** A share of how many the bars are about, for a quick look. */
  readonly scale: number;
  /** Told of each scenario before it begins. */
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Measures one scenario after the other, each with a directory and servers of its own, and leaves nothing behind. */
export async function runMany(figures: readonly ManyFigure[], { scale, tell, signal }: ManyOptions): Promise<Report> {
  const directory = await mkdtemp(join(tmpdir(), "retake-bench-"));
  try {
    const machine = readMachine(directory);
    const values = new Map<string, readonly number[]>();
    for (const scenario of scenarios) {
      if (figures.some((figure) => figure.scenario === scenario)) {
        signal.throwIfAborted();
        tell(`Measuring ${scenario}.`);
        const own = join(directory, scenario);
        await mkdir(own);
        for (const [name, found] of await named(scenario, measures[scenario]({ directory: own, scale, signal }))) {
          values.set(name, found);
        }
        await rm(own, { recursive: true, force: true });
      }
    }
    return {
      machine,
      rounds: 0,
      generatorBusy: 0,
      figures: figures.map((figure) => evaluateManyFigure(figure, values)),
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function named<Value>(scenario: Scenario, measured: Promise<Value>): Promise<Value> {
  try {
    return await measured;
  } catch (error) {
    throw new Error(`${scenario}: ${(error as Error).message}`, { cause: error });
  }
}
