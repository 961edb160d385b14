import type { ContractProblem, ReadContracts, Workflow } from "../../contract/index.ts";
import { ExpressionError } from "../cel/expression-error.ts";
import { workflowRequirement } from "./method-requirements.ts";

/** What is wrong with what workflows say about who may call them. */
export function accessProblems({ workflows, types }: Pick<ReadContracts, "workflows" | "types">): ContractProblem[] {
  return [...workflows.values()].flatMap((workflow) => problemsOf(workflow, types));
}

function problemsOf(workflow: Workflow, types: ReadContracts["types"]): ContractProblem[] {
  try {
    workflowRequirement(workflow, { types });
    return [];
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    return [{ where: workflow.name, field: error.field, message: error.message }];
  }
}
