import type { DescField, DescMessage } from "@bufbuild/protobuf";
import type { ReflectMessage } from "@bufbuild/protobuf/reflect";
import { WorkflowPolicySchema } from "../../gen/retake/v1/options_pb.js";
import { suggestion } from "../nearest-name.ts";
import { isValue } from "./is-value.ts";

/** Takes what a path names out of a policy, if it is there. */
export function clearPath(policy: ReflectMessage, path: string): void {
  const [last, ...around] = path.split(".").reverse();
  let message: ReflectMessage | undefined = policy;
  for (const name of around.reverse()) {
    const field: DescField | undefined = message?.fields.find((each) => each.name === name);
    message = field?.fieldKind === "message" && message?.isSet(field) ? message.get(field) : undefined;
  }
  const field = message?.fields.find((each) => each.name === last);
  if (field !== undefined) message?.clear(field);
}

/** What is wrong with the paths that an override clears. */
export function clearProblems(paths: readonly string[]): string[] {
  return paths
    .filter((path) => !allPaths.has(path))
    .map((path) => `clear: a policy has no "${path}".${suggestion(path, allPaths)}`);
}

/** Of fields of a policy, and of messages in it that are there once. */
function* pathsOf({ fields }: DescMessage, before: string): Iterable<string> {
  for (const field of fields) {
    yield before + field.name;
    if (field.fieldKind === "message" && !isValue(field.message))
      yield* pathsOf(field.message, `${before}${field.name}.`);
  }
}

const allPaths: ReadonlySet<string> = new Set(
  [...pathsOf(WorkflowPolicySchema, "")].filter((path) => path !== "clear"),
);
