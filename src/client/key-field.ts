import { type DescMessage, getOption } from "@bufbuild/protobuf";
import { idempotency_key } from "../../gen/retake/v1/options_pb.js";

/** The idempotency key in a request's marked field; empty where the contract marks none, or the field is not set. */
export function keyInField(schema: DescMessage, request: unknown): string {
  const field = schema.fields.find((candidate) => getOption(candidate, idempotency_key));
  const value = field && (request as Readonly<Record<string, unknown>>)[field.localName];
  return typeof value === "string" ? value : "";
}
