import { type JsonValue, toJson } from "@bufbuild/protobuf";
import type { ContractRegistry, Workflow } from "../../contract/index.ts";
import type { ServerAddress } from "../../server/index.ts";
import { sampleRequest } from "./sample-request.ts";

/** Where a server is, and how to talk to it. */
export interface ServerPlace {
  readonly grpc?: ServerAddress & { readonly tls: boolean };
  readonly web?: ServerAddress & { readonly tls: boolean };
}

/** How to call a workflow from a shell. Each is a line to paste, absent where its port is off. */
export interface CallLines {
  readonly workflow: string;
  readonly grpcurl?: string;
  readonly curl?: string;
  /** What the request needs besides, which only a person can say. */
  readonly toFillIn: readonly string[];
}

/** The lines for one workflow, with a request that it takes. */
export function callLines(
  workflow: Workflow,
  { validator, registry }: ContractRegistry,
  place: ServerPlace,
): CallLines {
  const { message, problems } = sampleRequest(workflow.input, validator);
  const request = toJson(workflow.input, message, { registry });
  const { grpc, web } = place;
  return {
    workflow: workflow.name,
    ...(grpc && {
      grpcurl: `grpcurl ${grpc.tls ? "-insecure" : "-plaintext"} -d ${quoted(request)} ${hostAndPort(grpc)} ${workflow.name}`,
    }),
    ...(web && { curl: curlLine(workflow, request, web) }),
    toFillIn: problems,
  };
}

/** A stream of JSON is more than curl can read: the workflow is started as a run instead, which can be watched. */
function curlLine({ name, streaming }: Workflow, request: JsonValue, web: NonNullable<ServerPlace["web"]>): string {
  const base = `${web.tls ? "https" : "http"}://${hostAndPort(web)}`;
  const curl = `curl ${web.tls ? "--insecure " : ""}--json`;
  if (!streaming) return `${curl} ${quoted(request)} ${base}/${name}`;
  return `${curl} ${quoted({ workflow: name, json: JSON.stringify(request) })} ${base}/retake.v1.RunService/StartRun`;
}

function hostAndPort({ host, port }: ServerAddress): string {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}

/** As one word of a shell. */
function quoted(json: JsonValue): string {
  return `'${JSON.stringify(json).replaceAll("'", "'\\''")}'`;
}
