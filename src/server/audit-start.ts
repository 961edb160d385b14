import type { HandlerContext } from "@connectrpc/connect";
import type { AcceptedRun } from "../runs/index.ts";
import { type Audit, principalKey } from "../security/index.ts";
import { peerKey } from "../transport/index.ts";

/** Puts on record who has started a run, or joined one. */
export function auditStart(
  audit: Audit,
  { run, joined }: AcceptedRun,
  { values }: Pick<HandlerContext, "values">,
): void {
  const action = joined ? "run.join" : "run.start";
  if (!audit.wants(action)) return;
  audit.record({
    action,
    outcome: "granted",
    principal: values.get(principalKey),
    resource: run.record.accepted.workflow,
    source: values.get(peerKey)?.address ?? "",
    details: { run: run.id },
  });
}
