import type { DescMethod, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor, type UnaryRequest } from "@connectrpc/connect";
import { createError } from "../../runs/index.ts";
import { type Audit, isDenial, principalKey } from "../../security/index.ts";
import { peerKey } from "../../transport/index.ts";
import { reasonOf } from "./audit-denials.ts";

/** What an RPC that changes something is called on record. */
export interface AuditedChange {
  readonly action: string;
  /** What it is done to, by its request. */
  resource(request: never): string;
  /** What else is worth knowing; undefined when nothing was changed after all. */
  details?(request: never, response: never): Readonly<Record<string, string>> | undefined;
}

export interface AuditCallsOptions {
  readonly audit: Audit;
  /** By `package.Service/Method`. */
  readonly changes: ReadonlyMap<string, AuditedChange>;
  /** Whether a call is recorded where it is carried out. */
  isRecorded(method: DescMethod): boolean;
}

type Plan = AuditedChange | "recorded" | "read";

/** How long who is refused waits before calling again. */
const retryDelayMs = 1_000;

/**
 * Puts on record what was changed, and by whom. Innermost, so that it sees only what is let be done; everything else goes
 * through it untouched.
 */
export function auditCalls(options: AuditCallsOptions): Interceptor {
  const { audit, changes } = options;
  const plans = new Map<DescMethod, Plan>();
  const planOf = (method: DescMethod): Plan => {
    const change = changes.get(`${method.parent.typeName}/${method.name}`);
    const plan = change ?? (options.isRecorded(method) ? "recorded" : "read");
    plans.set(method, plan);
    return plan;
  };
  return (next) => (request) => {
    const plan = plans.get(request.method) ?? planOf(request.method);
    if (plan === "read" && !audit.reads) return next(request);
    if (audit.refuses) return Promise.reject(refusal());
    if (plan === "recorded") return next(request);
    const { contextValues, service, method } = request;
    const who = {
      principal: contextValues.get(principalKey),
      source: contextValues.get(peerKey)?.address ?? "",
    };
    if (plan === "read" || request.stream) {
      const action = plan === "read" ? "call" : plan.action;
      audit.record({ action, outcome: "granted", ...who, resource: `${service.typeName}/${method.name}` });
      return next(request);
    }
    return recordChange(audit, plan, who, request, next(request));
  };
}

async function recordChange<Response extends { readonly message: Message | unknown }>(
  audit: Audit,
  change: AuditedChange,
  who: { readonly principal: Parameters<Audit["record"]>[0]["principal"]; readonly source: string },
  request: UnaryRequest,
  answer: Promise<Response>,
): Promise<Response> {
  const { action } = change;
  const resource = change.resource(request.message as never);
  try {
    const response = await answer;
    const details = change.details?.(request.message as never, response.message as never);
    if (change.details === undefined || details !== undefined) {
      audit.record({ action, outcome: "granted", ...who, resource, ...(details === undefined ? {} : { details }) });
    }
    return response;
  } catch (error) {
    // Denied ones are on record as calls.
    if (!isDenial(error)) {
      const reason = error instanceof ConnectError ? reasonOf(error) : "INTERNAL";
      audit.record({ action, outcome: "failed", ...who, resource, reason });
    }
    throw error;
  }
}

function refusal(): ConnectError {
  return createError(
    Code.Unavailable,
    "AUDIT_UNAVAILABLE",
    "this call could not be put on record, and the server is configured to refuse it then (security.audit.on_failure): its audit log cannot be written at the moment",
    { retryDelayMs },
  );
}
