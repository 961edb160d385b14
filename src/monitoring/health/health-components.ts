import { HealthComponent } from "../../../gen/retake/v1/status_pb.js";
import { fallingCurve } from "./falling-curve.ts";
import type { HealthFacts } from "./health-facts.ts";
import { bytesText, countText, durationText, percentText } from "./health-text.ts";

/** What one component is like. */
export interface Assessment {
  /** A whole number from 0 to 100; absent where nothing is known. */
  readonly score?: number;
  /** A sentence. */
  readonly explanation: string;
}

export interface Component {
  readonly component: HealthComponent;
  /** The points that it takes away at most. Those of all components add up to 100. */
  readonly weight: number;
  /** The highest score of the server when this one is at 0. */
  readonly floor: number;
  assess(facts: HealthFacts): Assessment;
}

// Where a built-in alert rule looks at the same number, its warning is at 80 and its critical alert at 40.
const commits = fallingCurve([
  [0.05, 100],
  [0.25, 80],
  [2, 40],
  [10, 20],
]);
const diskUse = fallingCurve([
  [0.8, 100],
  [0.85, 80],
  [0.95, 40],
  [0.99, 0],
]);
const memoryUse = fallingCurve([
  [0.75, 100],
  [0.85, 80],
  [0.95, 40],
  [1, 0],
]);
const loopDelay = fallingCurve([
  [0.05, 100],
  [0.2, 80],
  [1, 40],
  [5, 0],
]);
const failedShare = fallingCurve([
  [0.01, 100],
  [0.1, 80],
  [0.5, 40],
  [1, 0],
]);
const slowness = fallingCurve([
  [1.5, 100],
  [3, 80],
  [6, 40],
  [12, 0],
]);
const waitedShare = fallingCurve([
  [0.1, 100],
  [0.25, 80],
  [0.5, 50],
  [1, 0],
]);
const brokenShare = fallingCurve([
  [0, 100],
  [0.1, 75],
  [0.5, 40],
  [1, 0],
]);
const reducedShare = fallingCurve([
  [0, 100],
  [0.5, 60],
  [1, 20],
]);

/** So few runs say little: where fewer have ended, the others count as if they had succeeded. */
const enoughRuns = 10;

/** What a second more or less means nothing to. */
const usualSlackSeconds = 1;

const criticalCost = 30;
const warningCost = 10;

const notMeasured: Assessment = { explanation: "It is not measured here, or not yet." };

/** In the order of the enum. */
export const components: readonly Component[] = [
  {
    ...{ component: HealthComponent.JOURNAL, weight: 15, floor: 10 },
    assess({ journal }) {
      if (journal === undefined) return notMeasured;
      if (!journal.available) return { score: 0, explanation: `The journal cannot be written: ${journal.error}` };
      const { p99CommitSeconds, unansweredSeconds = 0 } = journal;
      // Commits that do not end are not among those that are counted.
      if (unansweredSeconds > (p99CommitSeconds ?? 0)) {
        const waited = durationText(unansweredSeconds);
        return { score: commits(unansweredSeconds), explanation: `The journal has not answered for ${waited}.` };
      }
      if (p99CommitSeconds === undefined) return { score: 100, explanation: "The journal can be written." };
      const took = durationText(p99CommitSeconds);
      return { score: commits(p99CommitSeconds), explanation: `99 % of what is journaled is durable within ${took}.` };
    },
  },
  {
    ...{ component: HealthComponent.DISK, weight: 10, floor: 20 },
    assess({ disk }) {
      if (disk === undefined || disk.sizeBytes <= 0) return notMeasured;
      const used = 1 - disk.freeBytes / disk.sizeBytes;
      const free = `${bytesText(disk.freeBytes)} of ${bytesText(disk.sizeBytes)}`;
      return { score: diskUse(used), explanation: `The disk has ${free} left (${percentText(1 - used)}).` };
    },
  },
  {
    ...{ component: HealthComponent.MEMORY, weight: 10, floor: 30 },
    assess({ memory }) {
      if (memory === undefined || memory.limitBytes <= 0) return notMeasured;
      const { of, usedBytes, limitBytes } = memory;
      const used = usedBytes / limitBytes;
      const what = of === "heap" ? "V8's heap" : "The process";
      return {
        score: memoryUse(used),
        explanation: `${what} takes ${bytesText(usedBytes)} of ${bytesText(limitBytes)} (${percentText(used)}).`,
      };
    },
  },
  {
    ...{ component: HealthComponent.EVENT_LOOP, weight: 10, floor: 30 },
    assess({ eventLoopDelaySeconds: delay }) {
      if (delay === undefined) return notMeasured;
      return { score: loopDelay(delay), explanation: `99 % of what is due is begun within ${durationText(delay)}.` };
    },
  },
  {
    ...{ component: HealthComponent.FAILURES, weight: 20, floor: 30 },
    assess({ ended }) {
      if (ended === undefined) return notMeasured;
      const { runs, failed } = ended;
      if (runs <= 0) return { explanation: "No run has ended in the last five minutes." };
      const share = Math.min(1, failed / Math.max(runs, enoughRuns));
      const [all, some] = [Math.max(1, Math.round(runs)), Math.round(failed)];
      return {
        score: failedShare(share),
        explanation: `Of ${countText(all, "run")} that ended in the last five minutes, ${some} failed.`,
      };
    },
  },
  {
    ...{ component: HealthComponent.LATENCY, weight: 5, floor: 70 },
    assess({ slowest }) {
      if (slowest === undefined) return { explanation: "Too few runs have ended to say how long they usually take." };
      const { workflow, part, seconds, usualSeconds } = slowest;
      const times = seconds / (usualSeconds + usualSlackSeconds);
      const [now, usual] = [durationText(seconds), durationText(usualSeconds)];
      return {
        score: slowness(times),
        explanation: `${percentText(part)} of the runs of ${workflow} take up to ${now}; in the hours before it was ${usual}.`,
      };
    },
  },
  {
    ...{ component: HealthComponent.QUEUE, weight: 10, floor: 50 },
    assess({ waiting }) {
      if (waiting === undefined) return notMeasured;
      if (waiting === null) return { score: 100, explanation: "No run waits." };
      const { workflow, seconds, timeoutSeconds } = waiting;
      const [waited, all] = [durationText(seconds), durationText(timeoutSeconds)];
      return {
        score: waitedShare(seconds / timeoutSeconds),
        explanation: `A run of ${workflow} has waited for ${waited} of the ${all} that it has.`,
      };
    },
  },
  {
    ...{ component: HealthComponent.BACKENDS, weight: 10, floor: 40 },
    assess({ breakers }) {
      if (breakers === undefined) return notMeasured;
      const { count, open, halfOpen } = breakers;
      if (count === 0) return { explanation: "No workflow has a breaker." };
      const named = [...open, ...halfOpen];
      const explanation =
        named.length === 0
          ? `All ${countText(count, "breaker")} are closed.`
          : `Of ${countText(count, "breaker")}, ${open.length} open and ${halfOpen.length} on trial: ${someOf(named)}.`;
      return { score: brokenShare((open.length + halfOpen.length / 2) / count), explanation };
    },
  },
  {
    ...{ component: HealthComponent.QUALITY, weight: 5, floor: 70 },
    assess({ quality }) {
      if (quality === undefined || quality.workflows === 0) return notMeasured;
      const { workflows, reduced } = quality;
      const levels = reduced.values().reduce((sum, level) => sum + level, 0);
      const explanation =
        levels === 0
          ? "All workflows ask for everything."
          : `${reduced.size} of ${countText(workflows, "workflow")} ask for less than they could: ${someOf([...reduced.keys()])}.`;
      return { score: reducedShare(levels / (4 * workflows)), explanation };
    },
  },
  {
    ...{ component: HealthComponent.ALERTS, weight: 5, floor: 60 },
    assess({ alerts }) {
      if (alerts === undefined) return { explanation: "Nobody watches for alerts." };
      const { critical, warning } = alerts;
      const score = Math.max(0, 100 - criticalCost * critical - warningCost * warning);
      if (score === 100) return { score, explanation: "No alert fires." };
      return {
        score,
        explanation: `${countText(critical, "critical alert")} and ${countText(warning, "warning")} fire.`,
      };
    },
  },
];

/** Enough to know where to look. */
function someOf(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(", ");
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}
