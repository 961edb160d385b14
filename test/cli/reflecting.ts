import type { DescFile } from "@bufbuild/protobuf";
import { toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { createServiceImplSpec, type ServiceImpl } from "@connectrpc/connect";
import { ServerReflection, type ServerReflectionRequest } from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { Contracts } from "../../src/cli/contracts.ts";
import { connectRetake } from "../../src/client/index.ts";
import { createInProcessTransport } from "../../src/transport/index.ts";

type Asked = ServerReflectionRequest["messageRequest"];

/** Contracts from a server that answers reflection like this: with files, or nothing where it knows none. */
export function contractsFrom(answer: (asked: Asked) => readonly Uint8Array[] | undefined) {
  const asked: Asked[] = [];
  const implementation: ServiceImpl<typeof ServerReflection> = {
    async *serverReflectionInfo(requests) {
      for await (const { messageRequest } of requests) {
        asked.push(messageRequest);
        const files = answer(messageRequest);
        yield files === undefined
          ? { messageResponse: { case: "errorResponse", value: { errorCode: 5, errorMessage: "unknown" } } }
          : { messageResponse: { case: "fileDescriptorResponse", value: { fileDescriptorProto: [...files] } } };
      }
    },
  };
  return { asked, contracts: new Contracts(clientOf(implementation), new AbortController().signal) };
}

/** Contracts from a server without reflection. */
export function contractsWithoutReflection(): Contracts {
  return new Contracts(clientOf({}), new AbortController().signal);
}

function clientOf(implementation: Partial<ServiceImpl<typeof ServerReflection>>) {
  return connectRetake({
    transport: createInProcessTransport([createServiceImplSpec(ServerReflection, implementation)]),
  });
}

/** A file and all that it imports. */
export function withImports(file: DescFile): DescFile[] {
  const files = new Set([file]);
  for (const each of files) for (const dependency of each.dependencies) files.add(dependency);
  return [...files];
}

export function bytesOf(file: DescFile): Uint8Array {
  return toBinary(FileDescriptorProtoSchema, file.proto);
}
