// What `retake serve` is started with here: handlers as a build leaves them, without types to be stripped.
import { WorkflowsService } from "../../test/gen/retake/test/v1/workflows_pb.js";

const once = () => ({});
async function* streamed() {
  yield { update: { case: "line", value: "a line" } };
}

/** @param {import("../../src/index.ts").RetakeServer} server */
export default function register(server) {
  server.implement(WorkflowsService, {
    plain: once,
    streaming: streamed,
    keyed: once,
    flaky: once,
    limited: once,
    hurried: once,
    once,
    forwarding: once,
  });
}
