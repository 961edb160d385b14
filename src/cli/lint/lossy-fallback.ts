import { type FallbackMapping, type LostField, typeText, type Workflow } from "../../contract/index.ts";
import type { Fix } from "../sources/finding.ts";
import { findingAt, isIgnored, type LintRule, shortName } from "./linted.ts";
import { freeNumber } from "./proto-lines.ts";

const rule = "lossy-fallback";

/** Fallbacks that lose fields: requests and results are carried over by the names of their fields. */
export const lossyFallback: LintRule = function* ({ contracts, workflows, mappings }) {
  for (const workflow of workflows.values()) {
    if (isIgnored(rule, workflow.method)) continue;
    for (const name of workflow.policy.fallbacks) {
      const fallback = workflows.get(name);
      if (fallback === undefined) continue;
      for (const { lost, message } of losses(workflow, fallback, mappings.of(workflow, fallback))) {
        yield findingAt(workflow.method, contracts, { severity: "warning", rule, message, fixes: fixesFor(lost) });
      }
    }
  }
};

interface Loss {
  readonly lost: readonly LostField[];
  readonly message: string;
}

function losses(workflow: Workflow, fallback: Workflow, mapping: FallbackMapping): Loss[] {
  const found: Loss[] = [];
  const { lostInRequest: asked, lostInResponse: answered } = mapping;
  if (asked.length > 0) {
    found.push({
      lost: asked,
      message:
        `its fallback ${fallback.name} is not told ${named(asked)}: fields are carried over by name, and ` +
        `${shortName(fallback.input)} ${asked.length === 1 ? "has none like it" : "has none like them"}`,
    });
  }
  if (answered.length > 0) {
    found.push({
      lost: answered,
      message:
        `callers do not get ${named(answered)} of what its fallback ${fallback.name} answers: fields are carried over ` +
        `by name, and ${shortName(workflow.output)} ${answered.length === 1 ? "has none like it" : "has none like them"}`,
    });
  }
  return found;
}

function named(lost: readonly LostField[]): string {
  return lost.map(({ path, part }) => (part === undefined ? `"${path}"` : `"${path}" (${part})`)).join(", ");
}

/** One place for each message that lacks some. */
function fixesFor(lost: readonly LostField[]): Fix[] {
  const whole = lost.filter(({ part }) => part === undefined);
  const byMessage = Map.groupBy(whole, ({ into }) => into);
  return [...byMessage].map(([message, fields]) => {
    const numbers: number[] = [];
    const lines = fields.map(({ field }) => {
      const number = freeNumber(message, numbers);
      numbers.push(number);
      return `${typeText(field, message.file.proto.package)} ${field.name} = ${number};`;
    });
    return { where: `in message ${shortName(message)}`, lines };
  });
}
