import type { WorkflowImpl } from "../../src/server/server.ts";
import type { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";

/** Handlers that answer at once, but for those that the test gives. */
export function handlers(own: WorkflowImpl<typeof WorkflowsService> = {}): WorkflowImpl<typeof WorkflowsService> {
  return {
    plain: ({ text }) => ({ text }),
    keyed: ({ text }) => ({ text }),
    flaky: (_, context) => ({ attempts: context.run.attempt }),
    async *streaming() {
      yield { update: { case: "result", value: "done" } };
    },
    limited: ({ text }) => ({ text }),
    hurried: ({ text }) => ({ text }),
    once: () => ({}),
    forwarding: () => ({}),
    ...own,
  };
}
