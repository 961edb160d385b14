import type { CelInput } from "@bufbuild/cel";

/** Deeper ones are cut off: no issuer nests them so. */
const deepest = 20;

/** The claims of a token as expressions take them: objects become maps, whatever names their members have. */
export function claimsOf(claims: object): CelInput {
  return celValue(claims, 0);
}

function celValue(value: unknown, depth: number): CelInput {
  if (typeof value !== "object" || value === null) return value as CelInput;
  if (depth === deepest) return null;
  if (Array.isArray(value)) return value.map((each) => celValue(each, depth + 1));
  return new Map(Object.entries(value).map(([name, each]) => [name, celValue(each, depth + 1)]));
}
