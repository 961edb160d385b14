import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { isKeyField, type Workflow } from "../../contract/index.ts";
import type { Fix } from "../sources/finding.ts";
import { findingAt, isIgnored, isUpdate, type LintRule, shortName } from "./linted.ts";
import { freeNumber, typeText } from "./proto-lines.ts";

const rule = "lossy-fallback";

/** Fallbacks that lose fields: requests and results are carried over by the names of their fields. */
export const lossyFallback: LintRule = function* ({ contracts, workflows }) {
  for (const workflow of workflows.values()) {
    if (isIgnored(rule, workflow.method)) continue;
    for (const name of workflow.policy.fallbacks) {
      const fallback = workflows.get(name);
      if (fallback === undefined) continue;
      for (const { lost, message } of losses(workflow, fallback)) {
        yield findingAt(workflow.method, contracts, { severity: "warning", rule, message, fixes: fixesFor(lost) });
      }
    }
  }
};

interface Loss {
  readonly lost: readonly LostField[];
  readonly message: string;
}

function losses(workflow: Workflow, fallback: Workflow): Loss[] {
  const found: Loss[] = [];
  const asked = lostFields(workflow.input, fallback.input, (field) => !isKeyField(field));
  if (asked.length > 0) {
    found.push({
      lost: asked,
      message:
        `its fallback ${fallback.name} is not told ${named(asked)}: fields are carried over by name, and ` +
        `${shortName(fallback.input)} ${asked.length === 1 ? "has none like it" : "has none like them"}`,
    });
  }
  const answered = lostFields(fallback.output, workflow.output, (field) => !isUpdate(field));
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

interface LostField {
  /** From the outermost message on: `storyboard.scenes`. */
  readonly path: string;
  readonly field: DescField;
  /** The message that ought to have it. */
  readonly into: DescMessage;
}

function lostFields(
  from: DescMessage,
  into: DescMessage,
  counts: (field: DescField) => boolean,
  path = "",
  seen: ReadonlySet<DescMessage> = new Set(),
): LostField[] {
  if (from.typeName === into.typeName || seen.has(from)) return [];
  return from.fields.filter(counts).flatMap((field) => {
    const twin = into.fields.find(({ name }) => name === field.name);
    const place = path === "" ? field.name : `${path}.${field.name}`;
    if (twin === undefined || !fits(field, twin)) return [{ path: place, field, into }];
    if (field.message === undefined || twin.message === undefined) return [];
    return lostFields(field.message, twin.message, () => true, place, new Set([...seen, from]));
  });
}

/** Messages are carried over field by field. */
function fits(a: DescField, b: DescField): boolean {
  if (a.fieldKind !== b.fieldKind) return false;
  if (a.fieldKind === "map" && b.fieldKind === "map" && a.mapKey !== b.mapKey) return false;
  if (a.message !== undefined || b.message !== undefined) return a.message !== undefined && b.message !== undefined;
  return a.scalar === b.scalar && a.enum?.typeName === b.enum?.typeName;
}

function named(lost: readonly LostField[]): string {
  return lost.map(({ path }) => `"${path}"`).join(", ");
}

/** One place for each message that lacks some. */
function fixesFor(lost: readonly LostField[]): Fix[] {
  const byMessage = Map.groupBy(lost, ({ into }) => into);
  return [...byMessage].map(([message, fields]) => {
    const numbers: number[] = [];
    const lines = fields.map(({ field }) => {
      const number = freeNumber(message, numbers);
      numbers.push(number);
      const other = message.fields.some(({ name }) => name === field.name)
        ? `, in place of its own "${field.name}"`
        : "";
      return `${typeText(field, message.file.proto.package)} ${field.name} = ${number};${other && ` // ${other.slice(2)}`}`;
    });
    return { where: `in message ${shortName(message)}`, lines };
  });
}
