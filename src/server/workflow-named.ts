import { Code } from "@connectrpc/connect";
import type { Workflow } from "../contract/index.ts";
import { suggestion } from "../nearest-name.ts";
import { createError } from "../runs/index.ts";
import type { Engine } from "./engine.ts";

/** @throws ConnectError NOT_FOUND, with what was perhaps meant */
export function workflowNamed(engine: Engine, name: string): Workflow {
  const workflow = engine.contracts.workflows.get(name);
  if (workflow === undefined) {
    throw createError(
      Code.NotFound,
      "UNKNOWN_WORKFLOW",
      `there is no workflow ${JSON.stringify(name)}${suggestion(name, engine.contracts.workflows.keys())}; ListWorkflows tells which there are`,
    );
  }
  return workflow;
}
