import { create } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { step } from "../../src/runs/index.ts";
import type { WorkflowImpl } from "../../src/server/index.ts";
import type { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";

/** Workflows that do as their requests say, held up by the test where it wants to. */
export function createStudio() {
  const held = new Map<string, PromiseWithResolvers<void>>();
  const gate = (name: string): PromiseWithResolvers<void> => {
    const found = held.get(name) ?? Promise.withResolvers<void>();
    held.set(name, found);
    return found;
  };
  const workflows: WorkflowImpl<typeof WorkflowsService> = {
    // `fail …` fails for good, `hold NAME` waits until it is let go or cancelled; anything else is said back.
    async plain({ text }, { signal }) {
      const [word, name = ""] = text.split(" ");
      if (word === "fail") throw new ConnectError("the prompt is \u001b[31mnot allowed", Code.FailedPrecondition);
      if (word === "hold") {
        await Promise.race([
          gate(name).promise,
          new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true })),
        ]);
      }
      return { text };
    },
    async *streaming({ updates }, context) {
      for (let index = 0; index < updates; index++) {
        const name = `part-${index + 1}`;
        await step(context, name, StringValueSchema, () => create(StringValueSchema, { value: name }));
        const fraction = (index + 1) / (updates + 1);
        yield {
          update: {
            case: "progress",
            value: { stage: "sampling", fraction, step: index + 1, steps: updates, message: `frame ${index + 1}` },
          },
        };
      }
      yield { update: { case: "result", value: "x".repeat(updates > 1 ? 5_000 : 1) } };
    },
  };
  return { workflows, letGo: (name: string) => gate(name).resolve() };
}
