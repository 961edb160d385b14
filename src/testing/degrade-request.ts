import { create, createRegistry, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import type { Quality } from "../../gen/retake/v1/options_pb.js";
import { degrade, withImports } from "../contract/index.ts";

export interface DegradedRequest<Desc extends DescMessage> {
  readonly message: MessageShape<Desc>;
  /** As the run's AttemptStarted tells them. */
  readonly changedFields: readonly string[];
}

/**
 * What a handler gets of a request at a lower quality, by the rules of its contract.
 *
 * @throws TypeError for a rule that does not fit its field: a server does not start with such a contract
 */
export function degradeRequest<Desc extends DescMessage>(
  schema: Desc,
  request: MessageInitShape<Desc>,
  quality: Quality,
): DegradedRequest<Desc> {
  const message = create(schema, request);
  const validator = createValidator({ registry: createRegistry(...withImports([schema.file])) });
  return { message, changedFields: degrade(schema, message, quality, validator) };
}
