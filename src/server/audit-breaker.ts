import type { BreakerEvent } from "../../gen/retake/v1/breaker_pb.js";
import type { BreakerTransition } from "../runs/index.ts";
import { type Audit, ownPrincipal } from "../security/index.ts";

const actions: Readonly<Partial<Record<NonNullable<BreakerEvent["event"]["case"]>, string>>> = {
  opened: "breaker.open",
  halfOpened: "breaker.half_open",
  closed: "breaker.close",
};

/** Has on record what a breaker does by itself; what operators ask of it is on record as theirs (`breaker.force`). */
export function auditBreaker(audit: Audit, { workflow, event }: BreakerTransition): void {
  const action = event.event.case && actions[event.event.case];
  if (action === undefined || event.requestedBy !== "") return;
  const { backend, generation, reason } = event;
  audit.record({
    action,
    outcome: "granted",
    principal: ownPrincipal,
    resource: workflow,
    source: "",
    details: { backend, generation: String(generation), reason },
  });
}
