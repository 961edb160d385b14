import { FailureCategory, Quality } from "../../../gen/retake/v1/options_pb.js";
import type { Failure } from "../../../gen/retake/v1/run_pb.js";
import { defaultQuality, type Policy } from "../../contract/index.ts";
import type { RunRecord } from "../run-record.ts";

/**
 * What the next attempt of a run asks for: as much as its workflow's level allows, less where the run itself has run out
 * of memory (`retry.lower_quality`), and no less than its bounds. A caller's `min_quality` above the level wins: it is
 * better served late, or not at all, than with less than it takes.
 */
export function runQuality(run: Readonly<RunRecord>, policy: Policy, level: Quality): Quality {
  const { outOfMemoryAt } = run;
  const most = outOfMemoryAt > 0 && policy.retry?.lowerQuality === true ? Math.min(level, outOfMemoryAt - 1) : level;
  return Math.max(most, qualityFloor(run, policy));
}

/** Whether the run, whose newest attempt has failed like that, is to be retaken because it can ask for less. */
export function canLowerQuality(run: Readonly<RunRecord>, policy: Policy, { category }: Failure): boolean {
  return (
    category === FailureCategory.MEMORY &&
    policy.retry?.lowerQuality === true &&
    run.quality > qualityFloor(run, policy)
  );
}

function qualityFloor({ accepted }: Readonly<RunRecord>, policy: Policy): Quality {
  return Math.max(policy.quality?.min ?? defaultQuality.min, accepted.minQuality, Quality.MINIMAL);
}
