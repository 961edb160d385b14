import type { ResolvedAlerting } from "../config/index.ts";
import type { ReadContracts } from "../contract/index.ts";
import { suggestion } from "../nearest-name.ts";

type Workflows = ReadContracts["workflows"];

/** Why nothing is told of a workflow that is named like that; undefined where it is there. */
export function unknownWorkflow(name: string, workflows: Workflows): string | undefined {
  if (workflows.has(name)) return undefined;
  return `there is no workflow "${name}".${suggestion(name, workflows.keys())}`;
}

/** Why alerts cannot lower the quality of a workflow; undefined where they can. */
export function unloweredWorkflow(name: string, workflows: Workflows): string | undefined {
  const workflow = workflows.get(name);
  if (workflow === undefined) return unknownWorkflow(name, workflows);
  if (workflow.degradable) return undefined;
  return (
    `nothing says what a lower quality of ${name} is: mark fields of its request with (retake.v1.quality), or declare ` +
    "`quality` in its policy"
  );
}

/** What a configuration says of workflows that comes to nothing with these: they may be on their way. */
export function alertingWarnings(
  { rules, slos }: Pick<ResolvedAlerting, "rules" | "slos">,
  workflows: Workflows,
): readonly { readonly field: string; readonly message: string }[] {
  const promises = slos.map(({ workflow }, index) => ({
    field: `monitoring.slos[${index}].workflow`,
    message: unknownWorkflow(workflow, workflows),
  }));
  const lowering = rules.map(({ lowerQuality }, index) => ({
    field: `monitoring.rules[${index}].lower_quality.workflow`,
    message: lowerQuality?.workflow ? unloweredWorkflow(lowerQuality.workflow, workflows) : undefined,
  }));
  return [...promises, ...lowering].flatMap(({ field, message }) =>
    message === undefined ? [] : [{ field, message }],
  );
}
