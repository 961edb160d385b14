import { Code } from "@connectrpc/connect";
import type { Workflow } from "../contract/index.ts";
import { suggestion } from "../nearest-name.ts";
import { createError } from "../runs/index.ts";
import type { Principal } from "../security/index.ts";
import type { Engine } from "./engine.ts";

/**
 * @param caller who is not told of workflows that they may not call; undefined for operators
 * @throws ConnectError NOT_FOUND, with what was perhaps meant
 */
export function workflowNamed({ contracts, access }: Engine, name: string, caller?: Principal): Workflow {
  const workflow = contracts.workflows.get(name);
  if (workflow === undefined) {
    const known = [...contracts.workflows.values()]
      .filter(({ method }) => caller === undefined || access.permits(caller, method))
      .map((each) => each.name);
    throw createError(
      Code.NotFound,
      "UNKNOWN_WORKFLOW",
      `there is no workflow ${JSON.stringify(name)}${suggestion(name, known)}; ListWorkflows tells which there are`,
    );
  }
  return workflow;
}
