import type { Message } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { createError, type Fitness, type WorkflowContext } from "../runs/index.ts";
import type { Backend, Job } from "./backend.ts";

/** A method of an implementation: a promise for unary workflows, an async iterable for streaming ones. */
export type WorkflowHandler = (
  message: Message,
  context: WorkflowContext,
) => Promise<unknown> | AsyncIterable<unknown> | unknown;

/** What handlers offer beside carrying out workflows. */
export interface ServiceJobs extends Pick<Backend, "probe" | "recover" | "cancel"> {
  /**
   * Whether attempts of a workflow (`package.Service/Method`) would work again, asked when its circuit breaker has been open
   * for its time; undefined where that cannot be told. Absent where only an attempt can tell.
   */
  probeWorkflow?(workflow: string, signal: AbortSignal): Promise<Fitness | undefined>;
}

/**
 * Handlers in this process, by workflow name.
 *
 * @param jobs what they offer beside that, by the name of the service
 */
export function createInProcessBackend(
  handlers: ReadonlyMap<string, WorkflowHandler>,
  jobs: ReadonlyMap<string, ServiceJobs> = new Map(),
): Backend {
  const jobsOf = ({ workflow }: Pick<Job, "workflow">): ServiceJobs =>
    jobs.get(workflow.slice(0, workflow.indexOf("/"))) ?? {};
  return {
    call({ workflow, message, context }) {
      const handler = handlers.get(workflow.name);
      if (handler === undefined) {
        throw createError(
          Code.Unimplemented,
          "NOT_IMPLEMENTED",
          `workflow ${workflow.name} has no handler: implement it, or configure a back-end for its service`,
        );
      }
      return handler(message, context) as Promise<unknown> | AsyncIterable<unknown>;
    },
    probe: async (job, signal) => jobsOf(job).probe?.(job, signal),
    workflowProbe(workflow) {
      const own = jobsOf({ workflow });
      // Async: a handler may throw instead of rejecting.
      return own.probeWorkflow && (async (signal) => own.probeWorkflow?.(workflow, signal));
    },
    recover: async (action, job, signal) => (await jobsOf(job).recover?.(action, job, signal)) ?? false,
    cancel: async (job, signal) => jobsOf(job).cancel?.(job, signal),
  };
}
