import type { Fault } from "../../gen/retake/v1/fault_pb.js";
import type { ConfigProblem } from "../config/index.ts";
import { suggestion } from "../nearest-name.ts";
import { longestFaultMs, msFromTimestamp } from "../runs/index.ts";

export interface FaultRules {
  readonly workflows: ReadonlyMap<string, unknown>;
  readonly nowMs: number;
  readonly canCrash: boolean;
}

/** What is wrong with the drills of a configuration; those that are over are not looked at. */
export function faultProblems(faults: readonly Fault[], { workflows, nowMs, canCrash }: FaultRules): ConfigProblem[] {
  return faults.flatMap(({ workflow, effect, expireTime }, index) => {
    const expireMs = msFromTimestamp(expireTime);
    if (expireMs <= nowMs) return [];
    const problem = (field: string, message: string): ConfigProblem => ({
      field: `faults[${index}].${field}`,
      message,
    });
    const problems: ConfigProblem[] = [];
    if (!workflows.has(workflow)) {
      problems.push(
        problem("workflow", `there is no workflow "${workflow}".${suggestion(workflow, workflows.keys())}`),
      );
    }
    if (expireMs > nowMs + longestFaultMs) {
      problems.push(problem("expire_time", "is more than 7 days away; a drill ends while somebody thinks of it"));
    }
    if (effect.case === "crash" && !canCrash) {
      problems.push(problem("crash", "ends the process, which this server is not started for: --allow-crash-faults"));
    }
    return problems;
  });
}
