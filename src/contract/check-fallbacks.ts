import { suggestion } from "../nearest-name.ts";
import type { ContractProblem } from "./contract-error.ts";
import type { FallbackMappings } from "./mapping/fallback-mappings.ts";
import type { Workflow } from "./workflow.ts";

/** The fallbacks of each workflow, by its name. */
type Fallbacks = ReadonlyMap<string, readonly string[]>;

/** How many fallbacks may stand in for each other, one behind the other: whoever waits for more waits in vain. */
export const deepestFallback = 4;

/**
 * Fallbacks that could not answer: those that nobody knows, those that lead back to where they came from, and those that
 * lead too far.
 */
export function fallbackProblems(fallbacks: Fallbacks, methods: ReadonlySet<string>): ContractProblem[] {
  const problems: ContractProblem[] = [];
  for (const [name, own] of fallbacks) {
    own.forEach((fallback, index) => {
      const message = problemOf(fallback, name, fallbacks, methods);
      if (message !== undefined) {
        const field = `fallbacks[${index}]`;
        problems.push({ where: name, field, message: `${field}: ${message}` });
      }
    });
  }
  for (const cycle of cycles(fallbacks)) {
    problems.push({
      where: cycle[0] ?? "",
      field: "fallbacks",
      message: `fallbacks: they lead back to it: ${[...cycle, cycle[0]].join(" -> ")}`,
    });
  }
  if (problems.length === 0) {
    for (const name of fallbacks.keys()) {
      const path = longestPath(name, fallbacks);
      if (path.length - 1 > deepestFallback) {
        const message = `fallbacks: they lead more than ${deepestFallback} deep: ${path.join(" -> ")}`;
        problems.push({ where: name, message });
      }
    }
  }
  return problems;
}

/** Fallbacks whose requests or answers do not fit, and converters that are not there. */
export function mappingProblems(
  workflows: ReadonlyMap<string, Workflow>,
  mappings: FallbackMappings,
): ContractProblem[] {
  const problems: ContractProblem[] = [];
  for (const workflow of workflows.values()) {
    const { fallbacks, fallbackConverters } = workflow.policy;
    fallbacks.forEach((name, index) => {
      const fallback = workflows.get(name);
      if (fallback === undefined || fallback === workflow) return;
      for (const problem of mappings.of(workflow, fallback).problems) {
        const advice = fallbackConverters.has(name) ? "" : `; ${converterAdvice}`;
        problems.push({ where: workflow.name, message: `fallbacks[${index}]: ${name}: ${problem}${advice}` });
      }
    });
    for (const name of fallbackConverters.keys()) {
      if (fallbacks.includes(name)) continue;
      const message = `fallback_converters: "${name}" is none of its fallbacks.${suggestion(name, fallbacks)}`;
      problems.push({ where: workflow.name, message });
    }
  }
  return problems;
}

const converterAdvice = "name them alike with the same type, or name a converter (fallback_converters)";

/** Up to the first one too many. */
function longestPath(name: string, fallbacks: Fallbacks, left = deepestFallback + 1): readonly string[] {
  if (left === 0) return [name];
  const paths = (fallbacks.get(name) ?? []).map((next) => longestPath(next, fallbacks, left - 1));
  return [name, ...paths.reduce((longest, path) => (path.length > longest.length ? path : longest), [])];
}

function problemOf(
  fallback: string,
  name: string,
  fallbacks: Fallbacks,
  methods: ReadonlySet<string>,
): string | undefined {
  if (fallback === name) return "a workflow cannot answer in its own place";
  if (fallbacks.has(fallback)) return undefined;
  return methods.has(fallback)
    ? `"${fallback}" is no workflow; give it the option (retake.v1.workflow), or name it under \`workflows\``
    : `no contract has "${fallback}".${suggestion(fallback, fallbacks.keys())}`;
}

/** Each cycle of two or more once, from the first of its names on. */
function cycles(fallbacks: Fallbacks): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    const start = path.indexOf(name);
    if (start >= 0) {
      const cycle = path.slice(start);
      if (cycle.length > 1) found.push(fromFirst(cycle));
      return;
    }
    if (done.has(name)) return;
    for (const fallback of fallbacks.get(name) ?? []) visit(fallback, [...path, name]);
    done.add(name);
  };
  for (const name of fallbacks.keys()) visit(name, []);
  return found;
}

function fromFirst(cycle: readonly string[]): string[] {
  const first = cycle.indexOf([...cycle].sort()[0] ?? "");
  return [...cycle.slice(first), ...cycle.slice(0, first)];
}
