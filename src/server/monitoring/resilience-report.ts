import { create } from "@bufbuild/protobuf";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { type Breaker, BreakerMode, BreakerState } from "../../../gen/retake/v1/breaker_pb.js";
import { Quality, RecoveryAction } from "../../../gen/retake/v1/options_pb.js";
import {
  type RecoveryCount,
  RecoveryCountSchema,
  type ResilienceReport,
  ResilienceReportSchema,
} from "../../../gen/retake/v1/report_pb.js";
import { type CountedWindow, whole, workflowLabel } from "../../monitoring/analysis/index.ts";
import type { Principal } from "../../security/index.ts";
import { viewBreaker } from "../admin/breakers.ts";
import { qualityLevel } from "../admin/quality-levels.ts";
import type { Engine } from "../engine.ts";

/** What keeps failures from spreading. What only administrators may list is left out for others. */
export async function resilienceReport(
  engine: Engine,
  principal: Principal,
  window: CountedWindow | undefined,
): Promise<ResilienceReport> {
  const { access, faults, retryBudgets } = engine;
  const { listBreakers, listFaults, listQualityLevels } = AdminService.method;
  return create(ResilienceReportSchema, {
    breakers: access.permits(principal, listBreakers) ? breakers(engine) : [],
    retryBudgets: retryBudgets.list().map(([backend, { tokens, waiting }]) => ({
      backend,
      tokens: Number(tokens.left.toFixed(3)),
      maxTokens: tokens.most,
      waitingRuns: BigInt(waiting),
    })),
    lowered: access.permits(principal, listQualityLevels) ? lowered(engine) : [],
    faults: access.permits(principal, listFaults) ? [...faults.list()] : [],
    faultsInjected: whole((await window?.sum("retake_faults_total")) ?? 0),
    recoveries: window === undefined ? [] : await recoveries(window),
  });
}

function breakers({ contracts, breakers: all }: Engine): Breaker[] {
  return [...contracts.workflows.values()]
    .flatMap((workflow) => {
      const listed = all.look(workflow);
      return listed === undefined ? [] : [viewBreaker(listed)];
    })
    .sort((a, b) => Number(isCalm(a)) - Number(isCalm(b)) || (a.workflow < b.workflow ? -1 : 1));
}

function isCalm({ state, mode }: Breaker): boolean {
  return state === BreakerState.CLOSED && mode === BreakerMode.AUTOMATIC;
}

function lowered({ contracts, qualityLevels }: Engine) {
  return [...contracts.workflows.values()]
    .filter(({ degradable }) => degradable)
    .map(({ name }) => qualityLevels.status(name))
    .filter(({ level }) => level !== Quality.UNSPECIFIED && level < Quality.FULL)
    .map(qualityLevel);
}

async function recoveries(window: CountedWindow): Promise<RecoveryCount[]> {
  const found = new Map<string, RecoveryCount>();
  for (const { labels, count } of await window.of("retake_recoveries_total")) {
    if (count === 0) continue;
    const { [workflowLabel]: workflow = "", retake_recovery_action: name = "", retake_outcome: outcome } = labels;
    const action = RecoveryAction[name as keyof typeof RecoveryAction] ?? RecoveryAction.UNSPECIFIED;
    const key = `${workflow} ${name}`;
    const one = found.get(key) ?? create(RecoveryCountSchema, { workflow, action });
    found.set(key, one);
    if (outcome === "SUCCEEDED") one.succeeded += whole(count);
    else one.failed += whole(count);
  }
  return [...found.values()].sort((a, b) =>
    a.workflow === b.workflow ? a.action - b.action : a.workflow < b.workflow ? -1 : 1,
  );
}
