import { HealthComponent, HealthLevel } from "../../../gen/retake/v1/status_pb.js";
import { type Assessment, components } from "./health-components.ts";
import type { HealthFacts } from "./health-facts.ts";

/** What one component does to the score. */
export interface AssessedComponent extends Assessment {
  readonly component: HealthComponent;
  readonly level: HealthLevel;
  readonly weight: number;
  /** Points, 0 or more. */
  readonly deduction: number;
  /** The highest score of the server while this one is as it is. */
  readonly limit?: number;
}

/** How well a server is. */
export interface AssessedHealth {
  /** 100 less all deductions; absent while too little is known. */
  readonly score?: number;
  readonly level: HealthLevel;
  readonly components: readonly AssessedComponent[];
  readonly limitedBy?: HealthComponent;
  readonly explanation: string;
}

/** Below that, a component limits the score of all. */
const limiting = 50;

/** With less of the weight known there is no score. */
const leastKnown = 50;

/**
 * The health of a server, in whole points.
 *
 * 1. A component takes its weight times what it lacks to 100; what is not known takes nothing.
 * 2. One below 50 limits the score, from 100 down to its floor at 0; the lowest limit holds, and what it takes besides is
 *    its deduction too.
 * 3. The score is 100 less the deductions, to the point, and never rises when anything gets worse.
 */
export function assessHealth(facts: HealthFacts): AssessedHealth {
  const assessed = components.map(({ assess, ...component }) => {
    const assessment = assess(facts);
    const { score } = assessment;
    const lacks = score === undefined ? 0 : component.weight * (100 - score);
    return { ...component, ...assessment, lacks, ...limitOf(score, component.floor) };
  });
  const byWeight = Math.round(sum(assessed.map(({ lacks }) => lacks)) / 100);
  const deductions = apportion(
    assessed.map(({ lacks }) => lacks / 100),
    byWeight,
  );
  const limits = assessed.map(({ limit }) => limit ?? 100);
  const lowest = Math.min(...limits);
  const limited = lowest < 100 - byWeight;
  if (limited) {
    const index = limits.indexOf(lowest);
    deductions[index] = (deductions[index] ?? 0) + 100 - byWeight - lowest;
  }
  const known = sum(assessed.map(({ score, weight }) => (score === undefined ? 0 : weight)));
  const score = known < leastKnown ? undefined : Math.min(100 - byWeight, lowest);
  const told = assessed.map(
    ({ lacks: _, floor: __, ...component }, i): AssessedComponent => ({
      ...component,
      level: levelOf(component.score),
      deduction: deductions[i] ?? 0,
    }),
  );
  const limiter = limited ? told[limits.indexOf(lowest)] : undefined;
  return {
    ...(score !== undefined && { score }),
    level: levelOf(score),
    components: told,
    ...(limiter && { limitedBy: limiter.component }),
    explanation: explanationOf(score, told, limiter),
  };
}

function levelOf(score: number | undefined): HealthLevel {
  if (score === undefined) return HealthLevel.UNKNOWN;
  if (score >= 80) return HealthLevel.GOOD;
  return score >= 50 ? HealthLevel.FAIR : HealthLevel.POOR;
}

function limitOf(score: number | undefined, floor: number): { readonly limit?: number } {
  if (score === undefined || score >= limiting) return {};
  return { limit: Math.round(floor + ((100 - floor) * score) / limiting) };
}

/** Whole numbers that add up to a total, each at most one off: the largest fractions are rounded up. */
function apportion(parts: readonly number[], total: number): number[] {
  const whole = parts.map(Math.floor);
  const left = total - sum(whole);
  const byFraction = parts
    .map((part, index) => ({ index, fraction: part % 1 }))
    .sort((a, b) => b.fraction - a.fraction);
  for (const { index } of byFraction.slice(0, left)) whole[index] = (whole[index] ?? 0) + 1;
  return whole;
}

function explanationOf(
  score: number | undefined,
  told: readonly AssessedComponent[],
  limiter: AssessedComponent | undefined,
): string {
  const known = told.filter((component) => component.score !== undefined).length;
  if (score === undefined) return `Too little is known yet: ${known} of ${told.length} components.`;
  if (limiter !== undefined) return `No more than ${score}, for that: ${limiter.explanation}`;
  const worst = told.reduce((most, one) => (one.deduction > most.deduction ? one : most));
  if (worst.deduction === 0) return "All is well.";
  if (worst.deduction === 100 - score) return worst.explanation;
  return `${worst.deduction} of the ${100 - score} points that are missing: ${worst.explanation}`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Words for people: `failures`, `event loop`. */
export function componentName(component: HealthComponent): string {
  return (HealthComponent[component] ?? "").toLowerCase().replaceAll("_", " ");
}
