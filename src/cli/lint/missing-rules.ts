import { type DescField, type DescMessage, getOption, hasOption, isFieldSet, ScalarType } from "@bufbuild/protobuf";
import {
  BytesRulesSchema,
  type FieldRules,
  field as fieldOption,
  MapRulesSchema,
  RepeatedRulesSchema,
  StringRulesSchema,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { isKeyField, placeOf } from "../../contract/index.ts";
import type { Fix } from "../sources/finding.ts";
import { findingAt, importing, isIgnored, type Linted, type LintRule, sourceLine } from "./linted.ts";
import { isLimitedByRule, ruleByName, rulesFile } from "./rules-by-name.ts";

const rule = "missing-rules";

/** Strings, bytes, lists and maps of requests that anybody may fill up to the limit of a message. */
export const missingRules: LintRule = function* (linted) {
  for (const message of requestMessages(linted)) {
    if (isIgnored(rule, message)) continue;
    for (const field of message.fields) {
      const missing = missingOf(field);
      if (missing === undefined || isIgnored(rule, field)) continue;
      yield findingAt(field, linted.contracts, {
        severity: "warning",
        rule,
        message: `${message.name}.${field.name} ${missing.why}: a caller may fill the server's memory and journal with it`,
        fixes: [...fixesFor(field, missing, linted), ...importsFor(missing, field)],
      });
    }
  }
};

/** Those that the user can change. */
function requestMessages({ contracts, workflows }: Linted): ReadonlySet<DescMessage> {
  const found = new Set([...workflows.values()].map(({ input }) => input));
  // A set is iterated in order of insertion and sees what is added meanwhile.
  for (const { fields } of found) for (const { message } of fields) if (message !== undefined) found.add(message);
  return new Set([...found].filter(({ file }) => contracts.files.has(file.proto.name)));
}

interface Missing {
  readonly why: string;
  /** The kind of rules: `string`. */
  readonly type: "string" | "bytes" | "repeated" | "map";
  /** What to write among them, in protobuf's text form. */
  readonly rules: string;
  /** They go into rules of its elements that are there already. */
  readonly within?: "items" | "keys" | "values";
}

/** In characters, bytes and elements: generous, and to be set by whoever knows better. */
const limits = { string: 1_000, bytes: 1_000_000, elements: 100 };

function missingOf(field: DescField): Missing | undefined {
  const rules = hasOption(field, fieldOption) ? getOption(field, fieldOption) : undefined;
  // An expression may say it all.
  if (rules !== undefined && (rules.cel.length > 0 || rules.celExpression.length > 0)) return undefined;
  switch (field.fieldKind) {
    case "scalar":
      // The server itself limits keys.
      if (isKeyField(field)) return undefined;
      return missingOfScalar(field.scalar, rules, field.name);
    case "list": {
      const given = rules?.type.case === "repeated" ? rules.type.value : undefined;
      const items = field.scalar === undefined ? undefined : missingOfScalar(field.scalar, given?.items, field.name);
      if (items !== undefined && given?.items !== undefined && isFieldSet(given, RepeatedRulesSchema.field.maxItems)) {
        return {
          why: "has elements without a limit to their length",
          type: "repeated",
          rules: items.rules,
          within: "items",
        };
      }
      const inner =
        items === undefined || given?.items !== undefined ? [] : [`items: { ${items.type}: { ${items.rules} } }`];
      if (given === undefined || !isFieldSet(given, RepeatedRulesSchema.field.maxItems)) {
        return {
          why: `has no limit to its elements${items === undefined ? "" : ", and those have none to their length"}`,
          type: "repeated",
          rules: [`max_items: ${limits.elements}`, ...inner].join(", "),
        };
      }
      return items && { why: "has elements without a limit to their length", type: "repeated", rules: inner.join() };
    }
    case "map": {
      const given = rules?.type.case === "map" ? rules.type.value : undefined;
      if (given !== undefined && isFieldSet(given, MapRulesSchema.field.maxPairs)) return undefined;
      const keys = missingOfScalar(field.mapKey, given?.keys, "");
      const values = field.scalar === undefined ? undefined : missingOfScalar(field.scalar, given?.values, field.name);
      return {
        why: "has no limit to its entries",
        type: "map",
        rules: [
          `max_pairs: ${limits.elements}`,
          ...(keys === undefined || given?.keys !== undefined ? [] : [`keys: { ${keys.type}: { ${keys.rules} } }`]),
          ...(values === undefined || given?.values !== undefined
            ? []
            : [`values: { ${values.type}: { ${values.rules} } }`]),
        ].join(", "),
      };
    }
    default:
      return undefined;
  }
}

function missingOfScalar(scalar: ScalarType, rules: FieldRules | undefined, name: string): Missing | undefined {
  const why = "has no limit to its length";
  switch (scalar) {
    case ScalarType.STRING: {
      const given = rules?.type.case === "string" ? rules.type.value : undefined;
      const { maxLen, len, maxBytes, lenBytes, pattern, const: constant } = StringRulesSchema.field;
      const limited =
        given !== undefined &&
        ([maxLen, len, maxBytes, lenBytes, pattern, constant].some((each) => isFieldSet(given, each)) ||
          given.in.length > 0 ||
          (given.wellKnown.case !== undefined && !/^uri/.test(given.wellKnown.case)) ||
          isLimitedByRule(given));
      const named = ruleByName(name);
      return limited
        ? undefined
        : { why, type: "string", rules: `max_len: ${limits.string}${named === undefined ? "" : `, ${named}`}` };
    }
    case ScalarType.BYTES: {
      const given = rules?.type.case === "bytes" ? rules.type.value : undefined;
      const { maxLen, len, pattern, const: constant } = BytesRulesSchema.field;
      const limited =
        given !== undefined &&
        ([maxLen, len, pattern, constant].some((each) => isFieldSet(given, each)) ||
          given.in.length > 0 ||
          given.wellKnown.case !== undefined);
      return limited ? undefined : { why, type: "bytes", rules: `max_len: ${limits.bytes}` };
    }
    default:
      return undefined;
  }
}

function importsFor({ rules }: Missing, { parent: { file } }: DescField): Fix[] {
  return [
    ...importing("buf/validate/validate.proto", file),
    ...(rules.includes("[retake.v1.") ? importing(rulesFile, file) : []),
  ];
}

/** Where one rule ends and the next begins. */
const betweenRules = /, (?=\w+:|\[)/;

/** The field's own line with the rule in it, where the source is simple enough. */
function fixesFor(field: DescField, { type, rules, within }: Missing, { contracts }: Linted): Fix[] {
  if (within !== undefined) return [{ where: `in the rules of ${field.name}, within ${within}`, lines: [rules] }];
  const option = `(buf.validate.field).${type}`;
  const line = sourceLine(field, contracts);
  const where = `in place of line ${placeOf(field)?.line}`;
  const single = /^(?<head>[^[]*=\s*\d+)\s*(?:\[(?<options>.*)\])?\s*;(?<comment>\s*\/\/.*)?$/.exec(line)?.groups;
  const own = `${option} = { ${rules} }`;
  if (single === undefined) {
    const ruled = hasOption(field, fieldOption);
    const place = `in the options of ${field.name}${ruled ? ", among the rules that are there" : ""}`;
    return [{ where: place, lines: ruled ? rules.split(betweenRules) : [own] }];
  }
  const { head = "", options, comment = "" } = single;
  if (options === undefined) return [{ where, lines: [`${head} [${own}];${comment}`] }];
  const braces = `${option} = {`;
  if (options.includes(braces)) {
    return [{ where, lines: [`${head} [${options.replace(braces, `${braces} ${rules},`)}];${comment}`] }];
  }
  // A rule that is set by its path does not go together with one set as a whole.
  const byPath = options.includes(`${option}.`) ? rulesByPath(option, rules) : own;
  return [{ where, lines: [`${head} [${options.trim()}, ${byPath}];${comment}`] }];
}

function rulesByPath(option: string, rules: string): string {
  return rules
    .split(betweenRules)
    .map((text) => `${option}.${text.replace(/^\[(.+)\]: /, "($1) = ").replace(/^(\w+): /, "$1 = ")}`)
    .join(", ");
}
