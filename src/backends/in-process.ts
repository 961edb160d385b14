import type { Message } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { createError, type WorkflowContext } from "../runs/index.ts";
import type { Backend } from "./backend.ts";

/** A method of an implementation: a promise for unary workflows, an async iterable for streaming ones. */
export type WorkflowHandler = (
  message: Message,
  context: WorkflowContext,
) => Promise<unknown> | AsyncIterable<unknown> | unknown;

/** Handlers in this process, by workflow name. */
export function createInProcessBackend(handlers: ReadonlyMap<string, WorkflowHandler>): Backend {
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
  };
}
