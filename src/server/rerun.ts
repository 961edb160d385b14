import { fromBinary, type Message } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { RunMode, RunState } from "../../gen/retake/v1/run_pb.js";
import type { Workflow } from "../contract/index.ts";
import { createError, isTerminal, type LiveRun } from "../runs/index.ts";
import { artifactReader, type Principal, priorityWithin, sees } from "../security/index.ts";
import type { Peer } from "../transport/index.ts";
import { metadataElsewhere } from "./call-metadata.ts";
import type { Engine } from "./engine.ts";
import { assertOwnName } from "./visible-runs.ts";
import { workflowNamed } from "./workflow-named.ts";

export interface RerunOrder {
  readonly principal: Principal;
  /** Where the call comes from. */
  readonly peer: Peer | undefined;
  /** Empty for none. */
  readonly key: string;
  readonly discardSteps: boolean;
  readonly traceparent: string;
}

/**
 * Starts a new run with the input of one that has ended, durably. It belongs to whoever asks, and who releases it.
 *
 * @throws ConnectError when that one is open, or cannot be run again, or not by this caller
 */
export async function rerun(engine: Engine, before: LiveRun, order: RerunOrder): Promise<LiveRun> {
  const { record } = before;
  if (!isTerminal(record.state)) {
    throw createError(
      Code.FailedPrecondition,
      "RUN_OPEN",
      `run ${before.id} is ${RunState[record.state]}: only a run that has ended can be rerun; cancel it first, or wait`,
    );
  }
  await before.durable;
  const { accepted } = record;
  const workflow = workflowNamed(engine, accepted.workflow);
  await engine.assertReadable(record);
  const message = await inputAgain(engine, before, workflow);
  const { principal, peer, key, discardSteps, traceparent } = order;
  engine.access.assertMayRun(principal, workflow, message, traceparent);
  assertOwnName(principal, key, "idempotency key");
  assertWithinLimits(engine, { principal, peer }, workflow);
  const { tenant, subject } = principal;
  const { run } = await engine.acceptance.accept({
    ...{ key, discardSteps, traceparent },
    owner: { tenant, subject },
    mayUse: (owner) => sees(artifactReader(principal), owner),
    workflow,
    message,
    mode: RunMode.DETACHED,
    priority: priorityWithin(principal, accepted.priority),
    minQuality: accepted.minQuality,
    metadata: metadataElsewhere(accepted.metadata),
    rerunOf: before.id,
    notifyUrl: accepted.notifyUrl,
  });
  await run.accepted;
  if (run.refusal !== undefined) {
    engine.live.release(run);
    throw run.refusal;
  }
  return run;
}

/** It counts as a call of the workflow would. @throws ConnectError RESOURCE_EXHAUSTED */
function assertWithinLimits(
  { limits }: Engine,
  { principal, peer }: Pick<RerunOrder, "principal" | "peer">,
  workflow: Workflow,
): void {
  if (peer?.inProcess === true) return;
  const refusal = limits.refusalOfStart({ principal, address: peer?.address ?? "", workflow: workflow.name });
  if (refusal !== undefined) throw refusal;
}

async function inputAgain(engine: Engine, run: LiveRun, workflow: Workflow): Promise<Message> {
  const { input } = run.record.accepted;
  const bytes = await engine.payloads.get(run.id, input?.sha256 ?? new Uint8Array());
  if (bytes === undefined) {
    throw createError(
      Code.FailedPrecondition,
      "PAYLOAD_LOST",
      `the input of run ${run.id} has been deleted, so it cannot be rerun: start a new run`,
    );
  }
  const message = fromBinary(workflow.input, bytes);
  engine.validator.validate(workflow.input, message);
  return message;
}
