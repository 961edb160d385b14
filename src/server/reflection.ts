import type { DescExtension, DescFile, DescMessage } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import type { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.js";
import type { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { type ContractRegistry, fileBytes } from "../contract/index.ts";

/** The implementations of `grpc.reflection.v1` and of `v1alpha`, which older clients still ask for. */
export interface Reflection {
  readonly v1: ServiceImpl<typeof ServerReflection>;
  readonly v1alpha: ServiceImpl<typeof ServerReflectionAlpha>;
}

/**
 * Answers from the live registry: with every file that a contract imports, options included. What a request cannot be
 * given is answered by an error in its place; the stream goes on.
 */
export function createReflection(contracts: ContractRegistry): Reflection {
  const lookup = createLookup(contracts);

  async function* serverReflectionInfo<Request extends ReflectionRequest>(requests: AsyncIterable<Request>) {
    let sent = new Set<string>();
    let revision = contracts.revision;
    for await (const request of requests) {
      if (revision !== contracts.revision) {
        sent = new Set();
        revision = contracts.revision;
      }
      yield {
        validHost: request.host,
        originalRequest: request,
        messageResponse: answer(request, contracts, lookup(), sent),
      };
    }
  }

  return { v1: { serverReflectionInfo }, v1alpha: { serverReflectionInfo } };
}

/** The two versions have the same messages under different names. */
interface ReflectionRequest {
  readonly host: string;
  readonly messageRequest:
    | { readonly case: "fileByFilename"; readonly value: string }
    | { readonly case: "fileContainingSymbol"; readonly value: string }
    | {
        readonly case: "fileContainingExtension";
        readonly value: { readonly containingType: string; readonly extensionNumber: number };
      }
    | { readonly case: "allExtensionNumbersOfType"; readonly value: string }
    | { readonly case: "listServices"; readonly value: string }
    | { readonly case: undefined; readonly value?: undefined };
}

type ReflectionResponse =
  | { readonly case: "fileDescriptorResponse"; readonly value: { readonly fileDescriptorProto: Uint8Array[] } }
  | {
      readonly case: "allExtensionNumbersResponse";
      readonly value: { readonly baseTypeName: string; readonly extensionNumber: number[] };
    }
  | { readonly case: "listServicesResponse"; readonly value: { readonly service: { readonly name: string }[] } }
  | { readonly case: "errorResponse"; readonly value: { readonly errorCode: number; readonly errorMessage: string } };

function answer(
  { messageRequest: asked }: ReflectionRequest,
  contracts: ContractRegistry,
  { symbols, extensions }: Lookup,
  sent: Set<string>,
): ReflectionResponse {
  const fileOr = (file: DescFile | undefined, otherwise: string): ReflectionResponse =>
    file === undefined
      ? failure(Code.NotFound, otherwise)
      : {
          case: "fileDescriptorResponse",
          value: { fileDescriptorProto: withUnsentImports(file, contracts, sent) },
        };
  switch (asked.case) {
    case "listServices":
      return {
        case: "listServicesResponse",
        value: { service: [...contracts.services.keys()].map((name) => ({ name })) },
      };
    case "fileByFilename":
      return fileOr(contracts.findFile(asked.value), `this server has no file "${asked.value}"`);
    case "fileContainingSymbol":
      return fileOr(symbols.get(asked.value), `this server has no symbol "${asked.value}"`);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = asked.value;
      const extension = extensions.get(containingType)?.find(({ number }) => number === extensionNumber);
      return fileOr(extension?.file, `this server has no extension ${extensionNumber} of "${containingType}"`);
    }
    case "allExtensionNumbersOfType": {
      if (contracts.registry.getMessage(asked.value) === undefined) {
        return failure(Code.NotFound, `this server has no message "${asked.value}"`);
      }
      const numbers = (extensions.get(asked.value) ?? []).map(({ number }) => number).sort((a, b) => a - b);
      return {
        case: "allExtensionNumbersResponse",
        value: { baseTypeName: asked.value, extensionNumber: numbers },
      };
    }
    default:
      return failure(Code.InvalidArgument, "a reflection request asks for one thing, and this one for nothing");
  }
}

/** The file itself, always and first, and those of its imports that this stream has not yet carried. */
function withUnsentImports(root: DescFile, contracts: ContractRegistry, sent: Set<string>): Uint8Array[] {
  const visited = new Set([root.proto.name]);
  const bytes: Uint8Array[] = [];
  // A set is iterated in order of insertion and sees what is added meanwhile.
  for (const name of visited) {
    const file = contracts.findFile(name);
    if (file === undefined) continue;
    if (file === root || !sent.has(name)) bytes.push(fileBytes(file));
    sent.add(name);
    for (const dependency of file.dependencies) visited.add(dependency.proto.name);
  }
  return bytes;
}

function failure(code: Code, message: string): ReflectionResponse {
  return { case: "errorResponse", value: { errorCode: code, errorMessage: message } };
}

interface Lookup {
  readonly symbols: ReadonlyMap<string, DescFile>;
  /** By the full name of the message that they extend. */
  readonly extensions: ReadonlyMap<string, readonly DescExtension[]>;
}

/** Made when first asked for, and anew after a replacement. */
function createLookup(contracts: ContractRegistry): () => Lookup {
  let lookup: Lookup | undefined;
  let revision = 0;
  return () => {
    if (lookup === undefined || revision !== contracts.revision) {
      revision = contracts.revision;
      lookup = read(contracts.files());
    }
    return lookup;
  };
}

function read(files: readonly DescFile[]): Lookup {
  const symbols = new Map<string, DescFile>();
  const extensions = new Map<string, DescExtension[]>();
  for (const file of files) {
    for (const type of nestedTypes(file)) {
      symbols.set(type.typeName, file);
      switch (type.kind) {
        case "message":
          for (const { name } of memberNames(type)) symbols.set(`${type.typeName}.${name}`, file);
          break;
        case "enum":
          // The values of an enum are named like its siblings.
          for (const { name } of type.values) symbols.set(siblingName(type.typeName, name), file);
          break;
        case "service":
          for (const { name } of type.methods) symbols.set(`${type.typeName}.${name}`, file);
          break;
        case "extension": {
          const extendee = type.extendee.typeName;
          extensions.set(extendee, [...(extensions.get(extendee) ?? []), type]);
        }
      }
    }
  }
  return { symbols, extensions };
}

function memberNames(message: DescMessage): readonly { readonly name: string }[] {
  return [...message.fields, ...message.oneofs];
}

function siblingName(typeName: string, name: string): string {
  return `${typeName.slice(0, typeName.lastIndexOf(".") + 1)}${name}`;
}
