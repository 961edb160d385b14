import { UsageError } from "./cli-error.ts";

export const revisionFlag = {
  value: "N",
  description: "Only if the override is at this revision, as `retake policy list` shows it",
};

/** The same for a rule. */
export const ruleRevisionFlag = {
  value: "N",
  description: "Only if the rule is at this revision, as `retake access list` shows it",
};

/** @throws UsageError */
export function parseRevision(text: string | undefined, least: bigint): bigint | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text) || BigInt(text) < least) {
    throw new UsageError(`--revision: "${text}" is no whole number from ${least}`);
  }
  return BigInt(text);
}
