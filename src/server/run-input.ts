import { create, fromBinary, fromJsonString, type Message, type Registry } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.js";
import { UnknownFields } from "../../gen/retake/v1/input_config_pb.js";
import { type JsonProblem, jsonProblems, type ResolvedInput } from "../config/index.ts";
import type { Workflow } from "../contract/index.ts";
import { assertKnownFields } from "../interceptors/rpc/index.ts";
import { createError } from "../runs/index.ts";

/** A workflow's input out of an Any. @throws ConnectError INVALID_ARGUMENT */
export function inputFromAny({ name, input }: Workflow, any: Any, reading: ResolvedInput): Message {
  const typeName = any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1);
  if (typeName !== input.typeName) {
    throw invalidInput(
      [{ field: "message", message: `has the type ${JSON.stringify(any.typeUrl)}` }],
      `workflow ${name} takes a ${input.typeName}: pack one, with the type URL type.googleapis.com/${input.typeName}`,
    );
  }
  try {
    const message = fromBinary(input, any.value, reading.binary);
    if (reading.unknownFields === UnknownFields.REFUSE) assertKnownFields(input, message);
    return message;
  } catch (error) {
    if (error instanceof ConnectError) throw error;
    throw invalidInput(
      [{ field: "message.value", message: messageOf(error) }],
      `the input of workflow ${name} cannot be decoded as ${input.typeName}: ${messageOf(error)}`,
    );
  }
}

/** A workflow's input out of JSON text. @throws ConnectError INVALID_ARGUMENT with the path of every bad field */
export function inputFromJson(
  { name, input }: Workflow,
  text: string,
  { registry, reading }: { readonly registry: Registry; readonly reading: ResolvedInput },
): Message {
  try {
    return fromJsonString(input, text, { registry, recursionLimit: reading.json.recursionLimit });
  } catch (error) {
    const found = jsonProblems(input, text, registry);
    const problems = found.length > 0 ? found : [{ field: "", message: messageOf(error) }];
    throw invalidInput(
      problems.map(({ field, message }) => ({ field: field === "" ? "json" : `json.${field}`, message })),
      `the input of workflow ${name} is no ${input.typeName}: ${problems
        .slice(0, 5)
        .map(({ field, message }) => (field === "" ? message : `${field}: ${message}`))
        .join("; ")}`,
    );
  }
}

function invalidInput(problems: readonly JsonProblem[], message: string): ConnectError {
  const error = createError(Code.InvalidArgument, "INVALID_INPUT", message);
  error.details.push({
    desc: BadRequestSchema,
    value: create(BadRequestSchema, {
      fieldViolations: problems.slice(0, 50).map(({ field, message: description }) => ({ field, description })),
    }),
  });
  return error;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
