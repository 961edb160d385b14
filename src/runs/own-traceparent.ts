import type { Accepted } from "../../gen/retake/v1/run_pb.js";
import { ownTraceId, runSpanId } from "../span-ids.ts";
import { untraced } from "../traceparent.ts";

/**
 * What those hear who are called or started for a run: its caller's trace. Where that has none, and no spans are kept, it is the
 * one that the run's log lines name.
 */
export function ownTraceparent({ runId, traceparent }: Pick<Accepted, "runId" | "traceparent">): string {
  return traceparent === untraced ? `00-${ownTraceId(runId)}-${runSpanId(runId)}-00` : traceparent;
}
