import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  ServerReflection,
  type ServerReflectionRequestSchema,
  type ServerReflectionResponse,
} from "../../gen/grpc/reflection/v1/reflection_pb.js";
import {
  ServerReflectionRequestSchema as ServerReflectionRequestV1AlphaSchema,
  ServerReflection as ServerReflectionV1Alpha,
} from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { connectionCause } from "./connection-cause.ts";

/** Contracts that a server does not tell. The message says why, and what to do. */
export class ReflectionError extends Error {
  override readonly name = "ReflectionError";
  /** Whether the server could not be reached, so that asking again may help. */
  readonly unreachable: boolean;

  constructor(message: string, options: { readonly unreachable: boolean; readonly cause?: unknown }) {
    super(message, { cause: options.cause });
    this.unreachable = options.unreachable;
  }
}

export interface ReflectOptions {
  /** How the server is called in messages. */
  readonly target: string;
  /** Ask for this service only. Default: all but those of gRPC and of Retake itself. */
  readonly service?: string;
  /** Services whose contract is known already. */
  readonly known?: ReadonlySet<string>;
  readonly signal?: AbortSignal;
}

/** What a server has told. */
export interface ReflectedContracts {
  /** All that it serves, the known ones too. */
  readonly services: readonly string[];
  /** The files of those that were not known, and all that they import. */
  readonly files: readonly FileDescriptorProto[];
}

/** Far above any contract; a server that has no end of imports is cut off. */
const mostFiles = 2000;

/** A server that answers at all answers this at once. */
const timeoutMs = 10_000;

/** Services that are part of a server and no contract. */
const infrastructure = /^(grpc\.|retake\.v1\.)/;

/**
 * Asks a server for its contracts, by `grpc.reflection.v1`, or `v1alpha` where that is all it has.
 *
 * @throws ReflectionError
 */
export async function reflectContracts(transport: Transport, options: ReflectOptions): Promise<ReflectedContracts> {
  const reader = new ReflectionReader(transport, options);
  const services =
    options.service === undefined
      ? (await reader.listServices()).filter((name) => !infrastructure.test(name))
      : [options.service];
  for (const name of services.filter((name) => options.known?.has(name) !== true)) {
    await reader.learn(name);
  }
  await reader.complete();
  return { services, files: [...reader.files.values()] };
}

type Request = MessageInitShape<typeof ServerReflectionRequestSchema>;

class ReflectionReader {
  readonly files = new Map<string, FileDescriptorProto>();
  readonly #transport: Transport;
  readonly #options: ReflectOptions;
  #version: "v1" | "v1alpha" = "v1";

  constructor(transport: Transport, options: ReflectOptions) {
    this.#transport = transport;
    this.#options = options;
  }

  async listServices(): Promise<readonly string[]> {
    const { messageResponse } = await this.#ask({ messageRequest: { case: "listServices", value: "" } });
    if (messageResponse.case !== "listServicesResponse") {
      throw this.#unreadable("it does not list its services");
    }
    return messageResponse.value.service.map(({ name }) => name).sort();
  }

  async learn(service: string): Promise<void> {
    if (!(await this.#fetch({ messageRequest: { case: "fileContainingSymbol", value: service } }))) {
      const { target } = this.#options;
      const message = `the back-end ${target} does not know the service ${service}: see \`grpcurl -plaintext ${authority(target)} list\``;
      throw new ReflectionError(message, { unreachable: false });
    }
  }

  /** Servers may leave out what a file imports. */
  async complete(): Promise<void> {
    // What a map gets while it is iterated comes last.
    for (const { name, dependency } of this.files.values()) {
      for (const file of dependency) {
        if (this.files.has(file)) {
          continue;
        }
        if (this.files.size >= mostFiles) {
          throw this.#unreadable(`it has more than ${mostFiles} files`);
        }
        // What is not told may be one of the standard files, which everybody has.
        if (!(await this.#fetch({ messageRequest: { case: "fileByFilename", value: file } }))) {
          if (!/^(google\/protobuf|google\/rpc|buf\/validate|retake\/v1)\//.test(file)) {
            throw this.#unreadable(`${name} imports ${file}, which it does not tell`);
          }
        }
      }
    }
  }

  /** Whether the server knows what it is asked for. */
  async #fetch(request: Request): Promise<boolean> {
    const { messageResponse } = await this.#ask(request);
    if (messageResponse.case === "errorResponse") {
      return false;
    }
    if (messageResponse.case !== "fileDescriptorResponse") {
      throw this.#unreadable("it answers something else than it is asked for");
    }
    for (const bytes of messageResponse.value.fileDescriptorProto) {
      const file = this.#decode(bytes);
      if (!this.files.has(file.name)) {
        this.files.set(file.name, file);
      }
    }
    return true;
  }

  #decode(bytes: Uint8Array): FileDescriptorProto {
    try {
      return fromBinary(FileDescriptorProtoSchema, bytes);
    } catch (error) {
      throw this.#unreadable((error as Error).message);
    }
  }

  async #ask(request: Request): Promise<Pick<ServerReflectionResponse, "messageResponse">> {
    try {
      return await this.#call(request);
    } catch (error) {
      const refused = ConnectError.from(error);
      if (refused.code !== Code.Unimplemented || this.#version === "v1alpha") {
        throw this.#explain(refused);
      }
      this.#version = "v1alpha";
      return this.#ask(request);
    }
  }

  async #call(request: Request): Promise<Pick<ServerReflectionResponse, "messageResponse">> {
    const { signal } = this.#options;
    const answered = new AbortController();
    const options = {
      timeoutMs,
      signal: AbortSignal.any([answered.signal, ...(signal === undefined ? [] : [signal])]),
    };
    // The two versions have the same messages under different names.
    const responses =
      this.#version === "v1"
        ? createClient(ServerReflection, this.#transport).serverReflectionInfo(only(request), options)
        : createClient(ServerReflectionV1Alpha, this.#transport).serverReflectionInfo(
            only(inV1Alpha(request)),
            options,
          );
    const iterator = responses[Symbol.asyncIterator]();
    const first = await iterator.next();
    // Connect's clients do not end a call whose answer is left early: it would live on until its deadline.
    answered.abort();
    await iterator.next().catch(() => undefined);
    if (first.done !== true) {
      return first.value as Pick<ServerReflectionResponse, "messageResponse">;
    }
    throw this.#unreadable("it ends the answer before it has begun");
  }

  #explain(error: ConnectError): unknown {
    const { target, signal } = this.#options;
    if (signal?.aborted) {
      return signal.reason;
    }
    switch (error.code) {
      case Code.Unimplemented:
        return new ReflectionError(noReflection(target, this.#options.service), { unreachable: false, cause: error });
      case Code.Unavailable:
        return new ReflectionError(`the back-end ${target} cannot be reached: ${connectionCause(error.rawMessage)}`, {
          unreachable: true,
          cause: error,
        });
      case Code.DeadlineExceeded:
        return new ReflectionError(
          `the back-end ${target} has not told its contracts within ${timeoutMs / 1000} s: ${error.rawMessage}`,
          { unreachable: true, cause: error },
        );
      case Code.Unauthenticated:
      case Code.PermissionDenied:
        return new ReflectionError(
          `the back-end ${target} does not tell us its contracts: ${error.rawMessage}\nTo do without that, ${descriptorSetHint(this.#options.service)}`,
          { unreachable: false, cause: error },
        );
      default:
        return this.#unreadable(error.message, error);
    }
  }

  #unreadable(problem: string, cause?: unknown): ReflectionError {
    const message = `the contracts that the back-end ${this.#options.target} tells by reflection cannot be read: ${problem}`;
    return new ReflectionError(message, { unreachable: false, cause });
  }
}

function noReflection(target: string, service: string | undefined): string {
  return [
    `the back-end ${target} does not answer gRPC reflection (v1 and v1alpha). Turn it on there:`,
    "  Python  pip install grpcio-reflection; reflection.enable_server_reflection([SERVICE, reflection.SERVICE_NAME], server)",
    "  Go      reflection.Register(server)",
    "  Java    builder.addService(ProtoReflectionServiceV1.newInstance())",
    "  Node    new ReflectionService(packageDefinition).addToServer(server), of @grpc/reflection",
    `Or ${descriptorSetHint(service)}`,
  ].join("\n");
}

/** How a server is told the contract of a back-end that does not tell it itself. */
export function descriptorSetHint(service = "package.Service"): string {
  return [
    "give its contract as a descriptor set, made with `buf build -o contracts.binpb`, or with",
    "`protoc --include_imports --descriptor_set_out=contracts.binpb FILE.proto`, and name its service, both in the",
    "configuration (retake serve --config FILE), instead of --backend:",
    "  contracts: [contracts.binpb]",
    `  backends: [{ service: ${service}, endpoints: [{ target: … }] }]`,
  ].join("\n");
}

function authority(target: string): string {
  return target.replace(/^[a-z]+:\/\/[^/]*\//, "");
}

function inV1Alpha(request: Request): MessageInitShape<typeof ServerReflectionRequestV1AlphaSchema> {
  return create(ServerReflectionRequestV1AlphaSchema, request as never);
}

async function* only<T>(message: T): AsyncGenerator<T> {
  yield message;
}
