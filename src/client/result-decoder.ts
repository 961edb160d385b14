import { create, type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Payload } from "../../gen/retake/v1/run_pb.js";

/** Makes a result of what the journal refers to. @throws ConnectError when there is none, or one of another type */
export type ResultDecoder<Output> = (runId: string, payload: Payload | undefined) => Output;

/** Results as the response message of their workflow. */
export function messageDecoder<O extends DescMessage>(output: O): ResultDecoder<MessageShape<O>> {
  return (runId, payload) => {
    const { typeUrl, value } = storedResult(runId, payload);
    const typeName = typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
    if (typeName !== output.typeName) {
      throw new ConnectError(
        `run ${runId} has a ${typeName} for a result, not a ${output.typeName}: attach to it with the method of its workflow`,
        Code.FailedPrecondition,
      );
    }
    try {
      return fromBinary(output, value);
    } catch (cause) {
      throw new ConnectError(
        `the result of run ${runId} cannot be decoded as ${typeName}`,
        Code.DataLoss,
        undefined,
        undefined,
        cause,
      );
    }
  };
}

/** Results as they are, for callers without the types: `anyUnpack` with a registry reads them. */
export const anyDecoder: ResultDecoder<Any> = storedResult;

function storedResult(runId: string, payload: Payload | undefined): Any {
  if (payload?.value !== undefined) return payload.value;
  if (payload !== undefined && payload.size === 0n) {
    return create(AnySchema, { typeUrl: `type.googleapis.com/${payload.typeName}` });
  }
  const what = payload === undefined ? "" : ` (${payload.typeName}, ${payload.size} bytes)`;
  throw new ConnectError(
    `run ${runId} succeeded, but its result${what} is no longer stored: its retention is over`,
    Code.NotFound,
  );
}
