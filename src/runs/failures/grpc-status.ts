import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.js";
import { readProperty, readText } from "./read-property.ts";

const detailsName = "grpc-status-details-bin";
const pushbackName = "grpc-retry-pushback-ms";

/** A gRPC status that is no ConnectError, like that of a grpc-js client: with its details and its pushback. */
export function readGrpcStatus(error: unknown): ConnectError | undefined {
  const code = readProperty(error, "code");
  const metadata = readProperty(error, "metadata");
  const get = readProperty(metadata, "get");
  // nice-grpc's errors have no metadata, and a mark of their own.
  const isStatus = typeof get === "function" || readProperty(error, "@@nice-grpc") === true;
  if (typeof code !== "number" || Code[code] === undefined || !isStatus) {
    return undefined;
  }
  const first = (name: string): unknown => {
    if (typeof get !== "function") {
      return undefined;
    }
    try {
      return (get.call(metadata, name) as readonly unknown[] | undefined)?.[0];
    } catch {
      return undefined;
    }
  };
  const status = new ConnectError(readText(error, "details"), code);
  const pushback = first(pushbackName);
  if (typeof pushback === "string") {
    status.metadata.set(pushbackName, pushback);
  }
  const details = first(detailsName);
  if (details instanceof Uint8Array) {
    try {
      for (const { typeUrl, value } of fromBinary(StatusSchema, details).details) {
        status.details.push({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value });
      }
    } catch {
      // Undecodable details are worth less than the status that they came with.
    }
  }
  return status;
}
