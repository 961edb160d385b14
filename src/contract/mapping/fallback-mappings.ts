import type { Workflow } from "../workflow.ts";
import type { Converters } from "./converter.ts";
import { type FallbackMapping, fallbackMapping } from "./fallback-mapping.ts";

/** How the workflows of a server and their fallbacks understand each other, worked out once for each pair. */
export class FallbackMappings {
  readonly #converters: Converters | undefined;
  readonly #known = new WeakMap<Workflow, Map<Workflow, FallbackMapping>>();

  /** @param converters undefined where those that code registers are not known; then all are taken to be right */
  constructor(converters?: Converters) {
    this.#converters = converters;
  }

  of(workflow: Workflow, fallback: Workflow): FallbackMapping {
    const known = this.#known.get(workflow) ?? new Map<Workflow, FallbackMapping>();
    this.#known.set(workflow, known);
    let mapping = known.get(fallback);
    if (mapping === undefined) {
      mapping = this.#compile(workflow, fallback);
      known.set(fallback, mapping);
    }
    return mapping;
  }

  #compile(workflow: Workflow, fallback: Workflow): FallbackMapping {
    const name = workflow.policy.fallbackConverters.get(fallback.name);
    if (name === undefined) return fallbackMapping(workflow, fallback);
    if (this.#converters === undefined) {
      return fallbackMapping(workflow, fallback, { request: (_, mapped) => mapped, response: (_, mapped) => mapped });
    }
    const converter = this.#converters.get(name);
    if (converter === undefined) {
      return withProblem(workflow, fallback, `no converter "${name}" is registered: ${registration(name)}`);
    }
    if (converter.workflow !== workflow.name || converter.fallback !== fallback.name) {
      const pair = `${converter.workflow} and ${converter.fallback}`;
      return withProblem(workflow, fallback, `the converter "${name}" is for ${pair}: register one for these two`);
    }
    return fallbackMapping(workflow, fallback, converter);
  }
}

function registration(name: string): string {
  return `createServer().convert("${name}", { workflow, fallback, request, response })`;
}

function withProblem(workflow: Workflow, fallback: Workflow, problem: string): FallbackMapping {
  return { ...fallbackMapping(workflow, fallback), problems: [problem] };
}
