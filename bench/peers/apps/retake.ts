import { create } from "@bufbuild/protobuf";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { createServer, step } from "../../../src/index.ts";
import {
  type PlainRequest,
  PlainRequestSchema,
  type PlainResponse,
  PlainResponseSchema,
  WorkflowsService,
} from "../../../test/gen/retake/test/v1/workflows_pb.js";
import { plainDefinition } from "../../servers/plain-method.ts";
import type { App } from "../jobs.ts";

/** The server within the app, as with DBOS; called over gRPC as Restate is over HTTP. */
export async function open({ directory = "" }): Promise<App> {
  const unused = (): never => {
    throw new Error("the bench calls another workflow");
  };
  const server = createServer({
    dataDirectory: directory,
    grpc: { port: 0 },
    web: { disabled: true },
    log: { level: "warn" },
    security: { anonymousLevel: AccessLevel.ADMIN },
  });
  server.implement(WorkflowsService, {
    async plain({ text }, context) {
      if (text === "steps") {
        for (const name of ["one", "two", "three"]) {
          await step(context, name, PlainResponseSchema, () => ({ text: name }));
        }
      }
      return { text };
    },
    keyed: unused,
    flaky: unused,
    streaming: unused,
    limited: unused,
    hurried: unused,
    once: unused,
    forwarding: unused,
  });
  await server.listen();
  const client = new Client(`127.0.0.1:${server.grpc?.port}`, credentials.createInsecure());
  const method = plainDefinition["Plain"];
  if (method === undefined) throw new Error("the definition has no Plain");
  // A run that goes on without its caller, as those of the others do.
  const detached = new Metadata();
  detached.set("retake-detach", "true");
  return {
    run: (job) =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest<PlainRequest, PlainResponse>(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          create(PlainRequestSchema, { text: job }),
          detached,
          (error) => (error === null ? resolve() : reject(error)),
        );
      }),
  };
}
