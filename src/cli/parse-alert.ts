import { create } from "@bufbuild/protobuf";
import {
  AlertSeverity,
  AlertState,
  type LabelMatcher,
  LabelMatcherSchema,
  MatcherOperator,
} from "../../gen/retake/v1/alert_pb.js";
import { suggestion } from "../nearest-name.ts";
import { UsageError } from "./cli-error.ts";

/** @throws UsageError */
export function parseSeverity(name: string, text: string): AlertSeverity {
  return parsed(name, text, AlertSeverity);
}

/** @throws UsageError */
export function parseState(name: string, text: string): AlertState {
  return parsed(name, text, AlertState);
}

/** `alertname=Deep`, `severity!=warning`, `queue=~"a|b"`. @throws UsageError */
export function parseMatcher(text: string): LabelMatcher {
  const found = /^([A-Za-z_][A-Za-z0-9_]*)(=~|!~|!=|=)(.*)$/s.exec(text);
  if (found === null) {
    throw new UsageError(`MATCHER: "${text}" is none; one looks like alertname=RetakeErrorRate or queue=~"a|b"`);
  }
  const [, label = "", sign = "=", value = ""] = found;
  const bare = /^".*"$/s.test(value) ? value.slice(1, -1) : value;
  return create(LabelMatcherSchema, { label, value: bare, operator: operators[sign] ?? MatcherOperator.EQUAL });
}

const operators: Readonly<Record<string, MatcherOperator>> = {
  "=": MatcherOperator.EQUAL,
  "!=": MatcherOperator.NOT_EQUAL,
  "=~": MatcherOperator.MATCHES,
  "!~": MatcherOperator.NOT_MATCHES,
};

function parsed<T extends number>(name: string, text: string, values: Readonly<Record<string, string | T>>): T {
  const names = Object.keys(values).filter((each) => Number.isNaN(Number(each)) && each !== "UNSPECIFIED");
  const value = values[text.toUpperCase()];
  if (typeof value === "number" && value !== 0) return value as T;
  const known = names.map((each) => each.toLowerCase());
  throw new UsageError(
    `${name}: there is no "${text}", only ${known.join(", ")}.${suggestion(text.toLowerCase(), known)}`,
  );
}
