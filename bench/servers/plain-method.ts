import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import {
  type PlainRequest,
  PlainRequestSchema,
  type PlainResponse,
  PlainResponseSchema,
} from "../../test/gen/retake/test/v1/workflows_pb.js";

/** The path that nearly every server is called by. */
export const plainPath = "/retake.test.v1.WorkflowsService/Plain";

/** Of a workflow that is the same, whose request has no rules: nothing is validated. */
export const unruledPath = "/retake.test.v1.WorkflowsService/Once";

/**
 * The method as grpc-js has it, with messages as its users have them: encoded and decoded by protobuf-es, which no server
 * that does anything with its requests can do without. Passing buffers on would be some 3 µs a call faster.
 */
export const plainDefinition: ServiceDefinition<UntypedServiceImplementation> = {
  Plain: {
    path: plainPath,
    requestStream: false,
    responseStream: false,
    requestSerialize: (message: PlainRequest) => Buffer.from(toBinary(PlainRequestSchema, message)),
    requestDeserialize: (bytes) => fromBinary(PlainRequestSchema, bytes),
    responseSerialize: (message: PlainResponse) => Buffer.from(toBinary(PlainResponseSchema, message)),
    responseDeserialize: (bytes) => fromBinary(PlainResponseSchema, bytes),
  },
};
