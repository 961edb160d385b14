import { create, type DescMessage, type DescMethod, type Message } from "@bufbuild/protobuf";
import { Code, type ConnectError, type Interceptor } from "@connectrpc/connect";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { unknownFields } from "../../contract/index.ts";
import { createError } from "../../runs/index.ts";
import { withCheckedMessages } from "./with-messages.ts";

/** Refuses messages with fields that their contract does not have, of these methods. */
export function refuseUnknownFields(isRefusing: (method: DescMethod) => boolean): Interceptor {
  return (next) => (request) => {
    if (!isRefusing(request.method)) return next(request);
    const { input } = request.method;
    if (request.stream) return next(withCheckedMessages(request, (message) => assertKnownFields(input, message)));
    try {
      assertKnownFields(input, request.message);
    } catch (error) {
      return Promise.reject(error);
    }
    return next(request);
  };
}

/** More are not told. */
const mostFields = 20;

/** @throws ConnectError INVALID_ARGUMENT with every unknown field in a `google.rpc.BadRequest` */
export function assertKnownFields(schema: DescMessage, message: Message): void {
  const found = unknownFields(schema, message);
  if (found.length > 0) throw unknown(schema, found.slice(0, mostFields));
}

function unknown(schema: DescMessage, fields: readonly string[]): ConnectError {
  const error = createError(
    Code.InvalidArgument,
    "UNKNOWN_FIELDS",
    `${schema.typeName} has no fields ${fields.join(", ")} on this server, which refuses what it does not know: leave them out, or ask a newer server`,
  );
  const fieldViolations = fields.map((field) => ({ field, description: "is not known to this server" }));
  error.details.push({ desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations }) });
  return error;
}
