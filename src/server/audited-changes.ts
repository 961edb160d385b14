import {
  AdminService,
  type InjectFaultRequest,
  type InjectFaultResponse,
} from "../../gen/retake/v1/admin_service_pb.js";
import { ArtifactService } from "../../gen/retake/v1/artifact_pb.js";
import { BreakerMode, type ForceBreakerRequest } from "../../gen/retake/v1/breaker_pb.js";
import { MonitoringService, type SetSilenceResponse } from "../../gen/retake/v1/monitoring_service_pb.js";
import { Quality } from "../../gen/retake/v1/options_pb.js";
import type { SetQualityLevelRequest } from "../../gen/retake/v1/quality_level_pb.js";
import {
  type CancelRunsResponse,
  type RerunRunResponse,
  type RerunRunsResponse,
  RunService,
} from "../../gen/retake/v1/run_service_pb.js";
import { workflowName } from "../contract/index.ts";
import type { AuditedChange } from "../interceptors/rpc/index.ts";

interface Reasoned {
  readonly reason: string;
}

const because = ({ reason }: Reasoned): Readonly<Record<string, string>> => (reason === "" ? {} : { reason });
const ofWorkflow = ({ workflow }: { readonly workflow: string }): string => workflow;
const ofRun = ({ runId }: { readonly runId: string }): string => runId;

const { cancelRun, rerunRun, cancelRuns, rerunRuns, pauseWorkflow, resumeWorkflow } = RunService.method;
const admin = AdminService.method;
const monitoring = MonitoringService.method;
const ofAlert = ({ alertId }: { readonly alertId: string }): string => alertId;
const ofRule = ({ rule }: { readonly rule?: { readonly name: string } }): string => rule?.name ?? "";
const named = ({ name }: { readonly name: string }): string => name;

/** What RPCs of the service's own are on record as. Starts of runs, keys and rules are recorded where they happen. */
export const auditedChanges: ReadonlyMap<string, AuditedChange> = new Map<string, AuditedChange>([
  [workflowName(cancelRun), { action: "run.cancel", resource: ofRun, details: because }],
  [
    workflowName(rerunRun),
    {
      action: "run.rerun",
      resource: ofRun,
      details: (_: object, { run }: RerunRunResponse) => ({ new_run: run?.runId ?? "" }),
    },
  ],
  [
    workflowName(cancelRuns),
    {
      action: "runs.cancel",
      resource: filteredWorkflow,
      details: (request: Reasoned, { cancelled }: CancelRunsResponse) =>
        cancelled === 0 ? undefined : { ...because(request), runs: String(cancelled) },
    },
  ],
  [
    workflowName(rerunRuns),
    {
      action: "runs.rerun",
      resource: filteredWorkflow,
      details: ({ batch }: { readonly batch: string }, { started }: RerunRunsResponse) =>
        started === 0 ? undefined : { batch, runs: String(started) },
    },
  ],
  [workflowName(pauseWorkflow), { action: "workflow.pause", resource: ofWorkflow, details: because }],
  [workflowName(resumeWorkflow), { action: "workflow.resume", resource: ofWorkflow }],
  [
    workflowName(admin.forceBreaker),
    {
      action: "breaker.force",
      resource: ofWorkflow,
      details: (request: ForceBreakerRequest) => ({ ...because(request), mode: BreakerMode[request.mode] }),
    },
  ],
  [
    workflowName(admin.setQualityLevel),
    {
      action: "quality.set",
      resource: ofWorkflow,
      details: (request: SetQualityLevelRequest) => ({ ...because(request), quality: Quality[request.level] }),
    },
  ],
  [
    workflowName(admin.injectFault),
    {
      action: "fault.inject",
      resource: ({ fault }: InjectFaultRequest) => fault?.workflow ?? "",
      details: ({ fault }: InjectFaultRequest, response: InjectFaultResponse) => ({
        effect: fault?.effect.case ?? "",
        fault: response.fault?.faultId ?? "",
      }),
    },
  ],
  [
    workflowName(admin.removeFault),
    { action: "fault.remove", resource: ({ faultId }: { readonly faultId: string }) => faultId },
  ],
  // Known by its number only once it is over, and streamed: what is on record is that it began.
  [workflowName(ArtifactService.method.uploadArtifact), { action: "artifact.upload", resource: () => "" }],
  [workflowName(admin.setPolicyOverride), { action: "policy.set", resource: ofWorkflow, details: because }],
  [workflowName(admin.deletePolicyOverride), { action: "policy.delete", resource: ofWorkflow, details: because }],
  [workflowName(monitoring.acknowledgeAlert), { action: "alert.acknowledge", resource: ofAlert }],
  [workflowName(monitoring.unacknowledgeAlert), { action: "alert.unacknowledge", resource: ofAlert }],
  [
    workflowName(monitoring.setSilence),
    {
      action: "silence.set",
      resource: ({ silence }: { readonly silence?: { readonly silenceId: string } }) => silence?.silenceId ?? "",
      details: (_: object, { silence }: SetSilenceResponse) => ({
        silence: silence?.silenceId ?? "",
        reason: silence?.comment ?? "",
      }),
    },
  ],
  [
    workflowName(monitoring.expireSilence),
    { action: "silence.expire", resource: ({ silenceId }: { readonly silenceId: string }) => silenceId },
  ],
  [workflowName(monitoring.setAlertRule), { action: "alert_rule.set", resource: ofRule }],
  [workflowName(monitoring.deleteAlertRule), { action: "alert_rule.delete", resource: named }],
  [workflowName(monitoring.testNotifier), { action: "notifier.test", resource: named }],
]);

function filteredWorkflow({ filter }: { readonly filter?: { readonly workflow: string } }): string {
  return filter?.workflow || "*";
}
