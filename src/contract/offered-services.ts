import { type DescFile, type DescService, hasOption } from "@bufbuild/protobuf";
import { workflow as workflowOption } from "../../gen/retake/v1/options_pb.js";
import { workflowName } from "./workflow.ts";

/**
 * Splits the services of some files into those that have a workflow, by the option or because the operator names one of
 * their methods, and the others.
 */
export function offeredServices(
  files: Iterable<DescFile>,
  overrides: Readonly<Record<string, unknown>>,
): { readonly withWorkflows: readonly DescService[]; readonly others: readonly DescService[] } {
  const services = [...files].flatMap((file) => file.services);
  const withWorkflows = services.filter((service) =>
    service.methods.some(
      (method) => hasOption(method, workflowOption) || Object.hasOwn(overrides, workflowName(method)),
    ),
  );
  return { withWorkflows, others: services.filter((service) => !withWorkflows.includes(service)) };
}

/** How an operator makes a workflow of a method, in the lines of the configuration; of the services' first few methods. */
export function workflowLines(services: readonly DescService[]): string {
  const methods = services.flatMap((service) => service.methods).filter(canBeWorkflow);
  const lines = methods.slice(0, shownMethods).map((method) => `    ${workflowName(method)}: {}`);
  return lines.length === 0 ? "" : ["  workflows:", ...lines].join("\n");
}

const shownMethods = 5;

function canBeWorkflow({ methodKind }: { readonly methodKind: string }): boolean {
  return methodKind === "unary" || methodKind === "server_streaming";
}
