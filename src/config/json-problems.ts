import type { DescMessage } from "@bufbuild/protobuf";
import { parseDocument } from "yaml";
import { readYamlMessage } from "./yaml-message.ts";

/** What is wrong with one field of a message's JSON form. */
export interface JsonProblem {
  /** Its path, like `scenes[2].duration`; empty for the message as a whole. */
  readonly field: string;
  readonly message: string;
}

/** Everything that is wrong with the JSON form of a message, each by its field; none when all of it can be read. */
export function jsonProblems(schema: DescMessage, text: string): readonly JsonProblem[] {
  // JSON is YAML, and the reader of configurations knows the place of each value.
  const document = parseDocument(text, { schema: "json" });
  const [syntax] = document.errors;
  if (syntax !== undefined) {
    return [{ field: "", message: syntax.message.split("\n")[0] ?? "" }];
  }
  return readYamlMessage(schema, document).problems.map(({ field, message }) => ({ field, message }));
}
