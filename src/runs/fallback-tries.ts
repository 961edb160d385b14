import { anyPack } from "@bufbuild/protobuf/wkt";
import { type Failure, type FallbackTry, FallbackTrySchema } from "../../gen/retake/v1/run_pb.js";
import { deepestFallback, type Policy } from "../contract/index.ts";
import type { RunRecord } from "./run-record.ts";

export function fallbackTry(
  index: number,
  workflow: string,
  runId: string,
  reason: string,
  outcome: FallbackTry["outcome"],
): FallbackTry {
  return { $typeName: FallbackTrySchema.typeName, index, workflow, runId, reason, outcome };
}

export interface UntriedFallback {
  /** Its place in the policy. */
  readonly index: number;
  readonly workflow: string;
}

/** The fallbacks that a run can still turn to, by the policy of today. Each is tried once. */
export function untriedFallbacks(run: RunRecord, { fallbacks }: Policy): readonly UntriedFallback[] {
  if (run.accepted.fallbackDepth >= deepestFallback) {
    return [];
  }
  return fallbacks
    .map((workflow, index) => ({ index, workflow }))
    .filter(({ workflow }) => run.fallbacks.every((tried) => tried.workflow !== workflow));
}

/** The failure of a run whose fallbacks did not help: its own, which tells of theirs, with each among its details. */
export function failureOfAll(own: Failure, tries: readonly FallbackTry[]): Failure {
  if (tries.length === 0) {
    return own;
  }
  return {
    ...own,
    message: `${own.message} (${tries.map(tellTry).join("; ")})`,
    details: [...own.details, ...tries.map((one) => anyPack(FallbackTrySchema, one))],
  };
}

function tellTry({ workflow, outcome }: FallbackTry): string {
  switch (outcome.case) {
    case "failed":
      return `its fallback ${workflow} did not succeed either: ${outcome.value.reason}: ${outcome.value.message}`;
    case "skipped":
      return `its fallback ${workflow} was passed over: ${outcome.value}`;
    default:
      return `its fallback ${workflow} did not answer`;
  }
}
