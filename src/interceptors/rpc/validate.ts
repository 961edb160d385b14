import { create, type DescMessage, type Message, toBinary } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import type { Violation } from "@bufbuild/protovalidate";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import {
  type BadRequest_FieldViolation,
  BadRequest_FieldViolationSchema,
  BadRequestSchema,
} from "../../../gen/google/rpc/error_details_pb.js";
import { type ContractRegistry, hasRules } from "../../contract/index.ts";
import { illFormedTimes } from "./ill-formed-times.ts";
import { withCheckedMessages } from "./with-messages.ts";

/** Validates messages by the rules of their contracts, always those of the live registry. */
export interface RequestValidator {
  /**
   * @throws ConnectError INVALID_ARGUMENT with every violation in a `google.rpc.BadRequest`; INTERNAL when a rule
   * cannot be applied to the message, which is the contract's fault and not the caller's
   */
  validate(schema: DescMessage, message: Message): void;
}

/** Validates by the rules of the live registry, which are compiled before the first request. */
export function createRequestValidator(contracts: Pick<ContractRegistry, "validator">): RequestValidator {
  return {
    validate(schema, message) {
      if (!hasRules(schema)) return;
      const checked = contracts.validator.validate(schema, message as never);
      if (checked.kind === "invalid") throw invalidArgument(schema, checked.violations.map(fieldViolation));
      if (checked.kind === "error") throw notChecked(schema, message, checked.error);
    },
  };
}

/** Validates each request message, a unary one before the call and streamed ones as they come. */
export function validateRequests(validator: RequestValidator): Interceptor {
  return (next) => (request) => {
    const { input } = request.method;
    if (!hasRules(input)) return next(request);
    if (request.stream) return next(withCheckedMessages(request, (message) => validator.validate(input, message)));
    try {
      validator.validate(input, request.message);
    } catch (error) {
      return Promise.reject(error);
    }
    return next(request);
  };
}

/** Details travel as metadata, of which some clients take 8 KiB in all. */
const longestDetailsBytes = 4096;

/** A map's keys, and thereby paths, are as long as the caller likes. */
const longestField = 256;

/** What people read in a terminal. */
const violationsInMessage = 5;

function invalidArgument(schema: DescMessage, all: readonly BadRequest_FieldViolation[]): ConnectError {
  const shown = all
    .slice(0, violationsInMessage)
    .map(({ field, description }) => `${field}${field && ": "}${description}`);
  const more = all.length > shown.length ? `; and ${all.length - shown.length} more` : "";
  return new ConnectError(`invalid ${schema.typeName}: ${shown.join("; ")}${more}`, Code.InvalidArgument, undefined, [
    { desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations: thatFit(all) }) },
  ]);
}

function fieldViolation({ field, message, ruleId, forKey }: Violation): BadRequest_FieldViolation {
  return create(BadRequest_FieldViolationSchema, {
    field: shortened(pathToString(field)),
    description: forKey ? `the key ${message}` : message,
    reason: ruleId,
  });
}

function shortened(path: string): string {
  return path.length > longestField ? `${path.slice(0, longestField).toWellFormed()}…` : path;
}

function thatFit(violations: readonly BadRequest_FieldViolation[]): BadRequest_FieldViolation[] {
  const fitting: BadRequest_FieldViolation[] = [];
  let bytes = 0;
  for (const violation of violations) {
    bytes += toBinary(BadRequest_FieldViolationSchema, violation).length;
    if (bytes > longestDetailsBytes) break;
    fitting.push(violation);
  }
  const left = violations.length - fitting.length;
  if (left === 0) return fitting;
  return [...fitting, create(BadRequest_FieldViolationSchema, { description: `and ${left} more violations` })];
}

/** Rules cannot be applied to what is no time, and whoever sends that is told so. */
function notChecked(schema: DescMessage, message: Message, cause: Error): ConnectError {
  const illFormed = illFormedTimes(schema, message);
  if (illFormed.length === 0) return notApplicable(schema, cause);
  const reason = "time.well_formed";
  return invalidArgument(
    schema,
    illFormed.map((each) => create(BadRequest_FieldViolationSchema, { ...each, field: shortened(each.field), reason })),
  );
}

function notApplicable(schema: DescMessage, cause: Error): ConnectError {
  const message = `a validation rule of ${schema.typeName} cannot be applied to this request: ${cause.message}`;
  return new ConnectError(message, Code.Internal, undefined, undefined, cause);
}
