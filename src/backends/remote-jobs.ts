import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { BackendService } from "../../gen/retake/v1/backend_service_pb.js";
import type { Backend, Job } from "./backend.ts";

/** Longest text of a back-end that is kept. */
const longestReason = 4096;

/** What a gRPC server offers by `retake.v1.BackendService`. It is asked each time: it may be another version by then. */
export function createRemoteJobs(
  transport: Transport,
): Required<Pick<Backend, "probe" | "workflowProbe" | "recover" | "cancel">> {
  const client = createClient(BackendService, transport);
  return {
    async probe(job, signal) {
      const answer = await offered(client.probe({ job: jobMessage(job) }, { signal }));
      return answer && { alive: answer.alive, reason: answer.reason.slice(0, longestReason) };
    },
    workflowProbe: (workflow) => async (signal) => {
      const answer = await offered(client.probeWorkflow({ workflow }, { signal }), unasked);
      return answer && { fit: answer.fit, reason: answer.reason };
    },
    async recover(action, job, signal) {
      const { failure } = job;
      return (await offered(client.recover({ action, job: jobMessage(job), failure }, { signal }))) !== undefined;
    },
    async cancel(job, signal) {
      await offered(client.cancel({ job: jobMessage(job) }, { signal }));
    },
  };
}

function jobMessage({ workflow, runId, attempt, token }: Job) {
  return { workflow, runId, attempt, attemptToken: token };
}

const absent: ReadonlySet<Code> = new Set([Code.Unimplemented]);
/** Of a server that is there, but does not answer us. */
const unasked: ReadonlySet<Code> = new Set([Code.Unimplemented, Code.Unauthenticated, Code.PermissionDenied]);

/** The answer; undefined of a method that the server does not have. */
async function offered<T>(answer: Promise<T>, notOffered = absent): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ConnectError && notOffered.has(error.code)) {
      return undefined;
    }
    throw error;
  }
}
