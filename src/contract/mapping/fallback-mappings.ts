import type { Workflow } from "../workflow.ts";
import type { Converters } from "./converter.ts";
import { type FallbackMapping, fallbackMapping } from "./fallback-mapping.ts";

/** How the workflows of a server and their fallbacks understand each other, worked out once for each pair. */
export class FallbackMappings {
  readonly #converters: Converters | undefined;
  readonly #known = new WeakMap<Workflow, Map<Workflow, Map<string, FallbackMapping>>>();

  /** @param converters undefined where those that code registers are not known; then all are taken to be right */
  constructor(converters?: Converters) {
    this.#converters = converters;
  }

  /** By the converter that the workflow's policy names today, if it does. */
  of(workflow: Workflow, fallback: Workflow): FallbackMapping {
    return this.by(converterName(workflow, fallback.name), workflow, fallback);
  }

  /** By this converter, whatever the policy says; by the names of fields where it is empty. */
  by(converter: string, workflow: Workflow, fallback: Workflow): FallbackMapping {
    const known = this.#known.get(workflow) ?? new Map<Workflow, Map<string, FallbackMapping>>();
    this.#known.set(workflow, known);
    const mappings = known.get(fallback) ?? new Map<string, FallbackMapping>();
    known.set(fallback, mappings);
    let mapping = mappings.get(converter);
    if (mapping === undefined) {
      mapping = this.#compile(converter, workflow, fallback);
      mappings.set(converter, mapping);
    }
    return mapping;
  }

  #compile(name: string, workflow: Workflow, fallback: Workflow): FallbackMapping {
    if (name === "") return fallbackMapping(workflow, fallback);
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

/** The converter that a workflow's policy names for a fallback; empty where it names none. */
export function converterName({ policy }: Workflow, fallback: string): string {
  return policy.fallbackConverters.get(fallback) ?? "";
}

function registration(name: string): string {
  return `createServer().convert("${name}", { workflow, fallback, request, response })`;
}

function withProblem(workflow: Workflow, fallback: Workflow, problem: string): FallbackMapping {
  return { ...fallbackMapping(workflow, fallback), problems: [problem] };
}
