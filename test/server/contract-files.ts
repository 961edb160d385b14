import { mkdtempSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type DescMethod, type DescService, type FileRegistry, type Message } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { Server } from "@grpc/grpc-js";
import { onTestFinished } from "vitest";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionV1Alpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { createContractRegistry } from "../../src/contract/index.ts";
import { createReflection } from "../../src/server/reflection.ts";
import { addConnectService, createGrpcTransport, listenGrpc } from "../../src/transport/index.ts";
import { compileContracts, contractSource } from "../contract/compile-contracts.ts";
import { descriptorSet } from "../e2e/descriptor-set.ts";

/** A contract, compiled: `film.v1.FilmService` with this body. */
export async function compileFilm(body: string): Promise<FileRegistry> {
  const source = contractSource("film.v1", `service FilmService {${body}`);
  return compileContracts({ "film/v1/film.proto": source });
}

export function filmService(contract: FileRegistry): DescService {
  const service = contract.getService("film.v1.FilmService");
  if (service === undefined) throw new Error("there is no service");
  return service;
}

/** A file with a descriptor set, which can be written anew. */
export function contractFile() {
  const directory = mkdtempSync(join(tmpdir(), "retake-contracts-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, "film.binpb");
  return {
    path,
    directory,
    write(contract: FileRegistry) {
      writeFileSync(path, descriptorSet(...contract.files));
    },
  };
}

type Answer = (
  request: Message & Record<string, unknown>,
  context: HandlerContext,
) => Promise<Record<string, unknown>> | Record<string, unknown>;

export interface FilmBackendOptions {
  readonly port?: number;
  /** Which versions of reflection it answers. Default: none. */
  readonly reflection?: readonly ("v1" | "v1alpha")[];
}

/** A gRPC server of its own that implements the unary methods of a contract, all by one function. */
export async function startFilmBackend(contract: FileRegistry, answer: Answer, options: FilmBackendOptions = {}) {
  const service = filmService(contract);
  const server = new Server();
  const names = service.methods.map(({ localName }) => [localName, answer] as const);
  addConnectService(server, service, Object.fromEntries(names) as never);
  const { v1, v1alpha } = createReflection(
    // Nothing of it is a workflow to the back-end.
    createContractRegistry({ services: [], ownServices: [service, ServerReflection] }),
  );
  if (options.reflection?.includes("v1")) addConnectService(server, ServerReflection, v1);
  if (options.reflection?.includes("v1alpha")) addConnectService(server, ServerReflectionV1Alpha, v1alpha);
  const listener = await listenGrpc(server, { host: "127.0.0.1", port: options.port ?? 0 });
  const stop = () => listener.destroy();
  onTestFinished(() => stop());
  return { port: listener.port, target: `dns:///127.0.0.1:${listener.port}`, stop };
}

/** A client that knows one version of the contract. */
export function filmClient(port: number, contract: FileRegistry) {
  const transport = createGrpcTransport({ target: `127.0.0.1:${port}` });
  onTestFinished(() => transport.close());
  return async (
    name: string,
    request: Record<string, unknown> = {},
    headers: Record<string, string> = {},
  ): Promise<Message & Record<string, unknown>> => {
    const method = filmService(contract).methods.find((candidate) => candidate.name === name);
    if (method === undefined) throw new Error(`there is no unary method ${name}`);
    const { message } = await transport.unary(
      method as DescMethod & { methodKind: "unary" },
      undefined,
      undefined,
      headers,
      create(method.input, request) as never,
    );
    return message as Message & Record<string, unknown>;
  };
}
