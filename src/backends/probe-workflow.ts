import { ConnectError } from "@connectrpc/connect";
import type { Clock } from "../clock.ts";
import type { Workflow } from "../contract/index.ts";
import { type Fitness, within } from "../runs/index.ts";
import type { WorkflowProbe } from "./backend.ts";
import { connectionCause } from "./connection-cause.ts";
import type { Endpoints } from "./endpoints.ts";

export interface ProbeWorkflowOptions {
  readonly endpoints: Pick<Endpoints, "of" | "backend">;
  readonly clock: Clock;
  /** Aborted when nobody waits for an answer any more. */
  readonly signal: AbortSignal;
}

/** A back-end that works answers within this. */
const probeTimeoutMs = 5_000;

/** Of a text that comes from a back-end and goes into the breaker's history. */
const longestReason = 200;

/**
 * Asks the endpoints of a workflow whether attempts of it would work again: one that says so is enough. Undefined, at once
 * or as the answer, where only an attempt can tell. Never rejects.
 */
export function probeWorkflow(
  options: ProbeWorkflowOptions,
  { name, service }: Pick<Workflow, "name" | "service">,
): Promise<Fitness | undefined> | undefined {
  const { endpoints } = options;
  const probes = endpoints
    .of(service.typeName)
    .map(({ endpoint }) => endpoints.backend(endpoint)?.workflowProbe?.(name));
  return probes.every((probe) => probe === undefined) ? undefined : askAll(probes, options);
}

function askAll(
  probes: readonly (WorkflowProbe | undefined)[],
  options: ProbeWorkflowOptions,
): Promise<Fitness | undefined> {
  const yes = Promise.withResolvers<Fitness>();
  const all = probes.map(async (probe) => {
    const answer = probe && (await ask(probe, options));
    if (answer?.fit === true) {
      yes.resolve(answer);
    }
    return answer;
  });
  return Promise.race([yes.promise, Promise.all(all).then(together)]);
}

async function ask(probe: WorkflowProbe, { clock, signal }: ProbeWorkflowOptions): Promise<Fitness | undefined> {
  try {
    return await within(clock, probeTimeoutMs, probe, signal);
  } catch (error) {
    const text = error instanceof ConnectError ? connectionCause(error.rawMessage) : String(error);
    return { fit: false, reason: `it could not be asked: ${text}` };
  }
}

/** What those say who have not said yes. */
function together(answers: readonly (Fitness | undefined)[]): Fitness | undefined {
  if (answers.includes(undefined)) {
    return undefined;
  }
  const reasons = new Set(answers.map((answer) => answer?.reason?.slice(0, longestReason) ?? ""));
  reasons.delete("");
  return { fit: false, reason: [...reasons].join("; ") };
}
