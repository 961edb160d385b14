import {
  create,
  createFileRegistry,
  createRegistry,
  type DescMethod,
  type FileRegistry,
  fromBinary,
  type Registry,
} from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.js";
import {
  ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
} from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { file_retake_v1_options } from "../../gen/retake/v1/options_pb.js";
import { file_retake_v1_run } from "../../gen/retake/v1/run_pb.js";
import { file_retake_v1_run_service } from "../../gen/retake/v1/run_service_pb.js";
import type { RetakeClient } from "../client/index.ts";
import { CliError } from "./cli-error.ts";
import { ExitCode } from "./exit-code.ts";

/** What every command knows without asking. */
export const ownTypes = createRegistry(
  file_retake_v1_run_service,
  file_retake_v1_run,
  file_retake_v1_options,
  file_google_rpc_error_details,
);

/** Far above any contract; a server that has no end of imports is cut off. */
const mostFiles = 2_000;

/** The contracts that a server tells by reflection, fetched as far as they are needed. */
export class Contracts {
  readonly #retake: RetakeClient;
  readonly #signal: AbortSignal;
  readonly #files = new Map<string, FileDescriptorProto>();
  readonly #unknown = new Set<string>();
  #read: FileRegistry = createFileRegistry();
  #registry: Registry = ownTypes;
  #off = false;

  constructor(retake: RetakeClient, signal: AbortSignal) {
    this.#retake = retake;
    this.#signal = signal;
  }

  /** Whether the server has been found not to answer reflection. */
  get off(): boolean {
    return this.#off;
  }

  /** All types that are known so far. */
  get registry(): Registry {
    return this.#registry;
  }

  /** The method of a workflow; undefined where reflection does not know it, or is off. */
  async method(workflow: string): Promise<DescMethod | undefined> {
    const [service = "", name] = workflow.split("/");
    await this.learn([service]);
    return this.#read.getService(service)?.methods.find((method) => method.name === name);
  }

  /** Fetches types, by their full names, that are not known yet. Those that the server does not know stay unknown. */
  async learn(typeNames: Iterable<string>): Promise<void> {
    for (const name of typeNames) {
      if (this.#off || name === "" || this.#unknown.has(name) || this.#registry.get(name) !== undefined) continue;
      const found = await this.#ask({ case: "fileContainingSymbol", value: name });
      if (!found) this.#unknown.add(name);
      else await this.#complete();
    }
  }

  /** Servers may leave out what a file imports. */
  async #complete(): Promise<void> {
    const imports = new Set<string>();
    // What a map gets while it is iterated comes last.
    for (const { dependency } of this.#files.values()) {
      for (const name of dependency) {
        if (imports.has(name)) continue;
        imports.add(name);
        if (this.#files.has(name)) continue;
        if (this.#files.size > mostFiles || !(await this.#ask({ case: "fileByFilename", value: name }))) {
          throw unreadable(`"${name}" is imported, and not told`);
        }
      }
    }
    try {
      this.#read = createFileRegistry(create(FileDescriptorSetSchema, { file: importsFirst(this.#files) }));
      // Our own types last, so that they are ours.
      this.#registry = createRegistry(this.#read, ownTypes);
    } catch (error) {
      throw unreadable((error as Error).message);
    }
  }

  /** Whether the server knows what it is asked for, and has told it. */
  async #ask(messageRequest: ServerReflectionRequest["messageRequest"]): Promise<boolean> {
    const before = this.#files.size;
    const request = create(ServerReflectionRequestSchema, { messageRequest });
    try {
      const responses = this.#retake
        .client(ServerReflection)
        .serverReflectionInfo(only(request), { signal: this.#signal });
      for await (const { messageResponse } of responses) {
        if (messageResponse.case === "fileDescriptorResponse") {
          for (const bytes of messageResponse.value.fileDescriptorProto) {
            const file = decode(bytes);
            if (!this.#files.has(file.name)) this.#files.set(file.name, file);
          }
        }
        break;
      }
    } catch (error) {
      if (ConnectError.from(error).code !== Code.Unimplemented) throw error;
      this.#off = true;
    }
    return this.#files.size > before;
  }
}

function decode(bytes: Uint8Array): FileDescriptorProto {
  try {
    return fromBinary(FileDescriptorProtoSchema, bytes);
  } catch (error) {
    throw unreadable((error as Error).message);
  }
}

async function* only<T>(message: T): AsyncGenerator<T> {
  yield message;
}

/** The order that a registry needs. Files that import each other, which no compiler makes, do not hang it. */
function importsFirst(files: ReadonlyMap<string, FileDescriptorProto>): FileDescriptorProto[] {
  const sorted = new Set<FileDescriptorProto>();
  const entered = new Set<string>();
  const enter = (name: string): void => {
    const file = files.get(name);
    if (file === undefined || entered.has(name)) return;
    entered.add(name);
    file.dependency.forEach(enter);
    sorted.add(file);
  };
  for (const name of files.keys()) enter(name);
  return [...sorted];
}

function unreadable(problem: string): CliError {
  return new CliError(`the contracts that the server tells by reflection cannot be read: ${problem}`, ExitCode.refused);
}
