import { suggestion } from "../nearest-name.ts";
import type { ContractProblem } from "./contract-error.ts";

/** The fallbacks of each workflow, by its name. */
type Fallbacks = ReadonlyMap<string, readonly string[]>;

/** Fallbacks that could not answer: those that nobody knows, and those that lead back to where they came from. */
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
  return problems;
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
