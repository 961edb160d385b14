import { create, type DescMethod, type DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { expect } from "vitest";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { Health } from "../../../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionV1Alpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { ArtifactService } from "../../../gen/retake/v1/artifact_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { AccessService } from "../../gen/retake/test/v1/access_pb.js";
import { workflow } from "./access-server.ts";
import type { Caller, Front } from "./callers.ts";

const { PUBLIC, AUTHENTICATED, PRIVILEGED, ADMIN } = AccessLevel;

/** Whoever is trusted with a tenant's runs sees how the server does; to change what it does about that takes more. */
const monitoringLevel = (method: string) =>
  /^(?:List|Watch|Get|Query)/.test(method) || method === "RecordMetric" ? PRIVILEGED : ADMIN;

/** The level that each RPC takes, said here once more: a new one, or another level, has to be thought of twice. */
export const expectations: ReadonlyMap<DescService, Readonly<Record<string, AccessLevel>>> = new Map<
  DescService,
  Record<string, AccessLevel>
>([
  [
    RunService,
    {
      StartRun: PUBLIC,
      GetRun: PUBLIC,
      ListRuns: AUTHENTICATED,
      WatchRun: PUBLIC,
      CancelRun: PUBLIC,
      RerunRun: PUBLIC,
      CancelRuns: AUTHENTICATED,
      RerunRuns: AUTHENTICATED,
      ListWorkflows: PUBLIC,
      PauseWorkflow: ADMIN,
      ResumeWorkflow: ADMIN,
    },
  ],
  [
    ArtifactService,
    {
      UploadArtifact: AUTHENTICATED,
      GetUpload: AUTHENTICATED,
      DownloadArtifact: PUBLIC,
      GetArtifact: PUBLIC,
      ListArtifacts: AUTHENTICATED,
    },
  ],
  // Whatever is added to them: other levels are given by rules.
  [AdminService, Object.fromEntries(AdminService.methods.map(({ name }) => [name, ADMIN]))],
  [MonitoringService, Object.fromEntries(MonitoringService.methods.map(({ name }) => [name, monitoringLevel(name)]))],
  [Health, { Check: PUBLIC, Watch: PUBLIC, List: PUBLIC }],
  [ServerReflection, { ServerReflectionInfo: AUTHENTICATED }],
  [ServerReflectionV1Alpha, { ServerReflectionInfo: AUTHENTICATED }],
  [
    AccessService,
    {
      Public: PUBLIC,
      Authenticated: AUTHENTICATED,
      Privileged: PRIVILEGED,
      Admin: ADMIN,
      Undeclared: ADMIN,
      Grouped: AUTHENTICATED,
      Conditional: PUBLIC,
      Streamed: PUBLIC,
    },
  ],
]);

/** Everything that is called over a front, and the level that it takes. */
export function methodsOver(front: Front): readonly Expected[] {
  return [...expectations].flatMap(([service, expected]) =>
    isServed(front, service)
      ? service.methods.map((method) => ({ method, min: expected[method.name] ?? AccessLevel.UNSPECIFIED }))
      : [],
  );
}

/** How a call that means nothing in particular ends; undefined when it is answered. */
export async function outcome(
  transport: Transport,
  method: DescMethod,
  init: Record<string, unknown> = {},
): Promise<ConnectError | undefined> {
  const message = create(method.input, init);
  const stop = new AbortController();
  try {
    if (method.methodKind === "unary") {
      await transport.unary(method as never, stop.signal, 5_000, undefined, message as never);
    } else {
      const input = (async function* () {
        yield message as never;
      })();
      const response = await transport.stream(method as never, stop.signal, 5_000, undefined, input);
      // Some never end.
      for await (const _ of response.message) break;
    }
    return undefined;
  } catch (error) {
    return ConnectError.from(error);
  } finally {
    stop.abort();
  }
}

const isServed = (front: Front, { typeName }: DescService) =>
  front === "gRPC" || front === "in process" || !typeName.startsWith("grpc.reflection.");

/** One that meets the condition. */
export const message = (method: DescMethod, { subject }: Caller) =>
  method === AccessService.method.streamed ? { parts: [{ name: subject }] } : {};

export function reasonOf(error: ConnectError | undefined): string | undefined {
  return error?.findDetails(ErrorInfoSchema)[0]?.reason;
}

export interface Expected {
  readonly method: DescMethod;
  readonly min: AccessLevel;
}

/** Over one connection, all at once. */
export async function eachMethod(
  methods: readonly Expected[],
  transport: Transport & { close(): void },
  use: (transport: Transport, expected: Expected) => Promise<void>,
): Promise<void> {
  try {
    await Promise.all(methods.map((expected) => use(transport, expected)));
  } finally {
    transport.close();
  }
}

export function expectLetIn(method: DescMethod, error: ConnectError | undefined): void {
  expect([nameOf(method), error?.code]).not.toContain(Code.PermissionDenied);
  expect([nameOf(method), error?.code]).not.toContain(Code.Unauthenticated);
}

export function nameOf({ parent, name }: DescMethod): string {
  return `${parent.typeName}/${name}`;
}

export const levels = [PUBLIC, AUTHENTICATED, PRIVILEGED, ADMIN];

/** Calls everything as somebody of a level: what takes no more lets in, and all else says what it takes. */
export async function expectByLevel(
  methods: readonly Expected[],
  transport: Transport & { close(): void },
  name: string,
  level: AccessLevel,
): Promise<void> {
  const caller: Caller = { subject: name, level };
  await eachMethod(methods, transport, async (transport, { method, min }) => {
    const error = await outcome(transport, method, message(method, caller));
    if (level >= min) return expectLetIn(method, error);
    expect([nameOf(method), error?.code, reasonOf(error)]).toEqual([
      nameOf(method),
      Code.PermissionDenied,
      "LEVEL_TOO_LOW",
    ]);
    expect(error?.rawMessage).toContain(
      `${nameOf(method)} needs the level ${AccessLevel[min]}; you are ${AccessLevel[level]} as default/${name}`,
    );
  });
}

/** Starts every workflow as somebody of a level. */
export async function expectStarts(
  methods: readonly Expected[],
  transport: Transport & { close(): void },
  name: string,
  level: AccessLevel,
): Promise<void> {
  const caller: Caller = { subject: name, level };
  const workflows = methods.filter(({ method }) => method.parent === AccessService);
  await eachMethod(workflows, transport, async (transport, { method, min }) => {
    const error = await outcome(transport, RunService.method.startRun, {
      workflow: workflow(method.name),
      input: { case: "json", value: JSON.stringify(message(method, caller)) },
    });
    expect([method.name, error?.code]).toEqual([method.name, level >= min ? undefined : Code.PermissionDenied]);
  });
}
