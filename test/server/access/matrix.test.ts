import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type DescFile, type DescMethod, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { Health } from "../../../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionV1Alpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { ArtifactService } from "../../../gen/retake/v1/artifact_pb.js";
import { FaultOutOfMemorySchema } from "../../../gen/retake/v1/fault_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { AccessLevel, access } from "../../../gen/retake/v1/options_pb.js";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { AccessService } from "../../gen/retake/test/v1/access_pb.js";
import { createKey, type IssuerKey, sign } from "../../security/jwt/issuer.ts";
import { type AccessServer, startAccessServer, workflow } from "./access-server.ts";
import { type Caller, type Front, fronts, type ShowCredentials, transportTo } from "./callers.ts";

const { PUBLIC, AUTHENTICATED, PRIVILEGED, ADMIN } = AccessLevel;

/** Whoever is trusted with a tenant's runs sees how the server does, and adds to it; to change what it does takes more. */
const monitoringLevel = (method: string) => (/^(?:List|Watch|Get|Query|Record)/.test(method) ? PRIVILEGED : ADMIN);

/** The level that each RPC takes, said here once more: a new one, or another level, has to be thought of twice. */
const expectations: ReadonlyMap<DescService, Readonly<Record<string, AccessLevel>>> = new Map<
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

/** How callers show who they are; a kind of credentials is one line here. */
const credentials: Readonly<Record<string, ShowCredentials>> = {
  "an API key": async ({ subject = "", level = AccessLevel.UNSPECIFIED, groups = [] }) => {
    const admin = createClient(AdminService, running.server.transport);
    const { key } = await admin.createApiKey({ label: "matrix", subject, level, groups: [...groups] });
    return { authorization: `Bearer ${key}` };
  },
  "a token": async ({ subject, level = AccessLevel.UNSPECIFIED, groups }) => {
    const exp = Math.floor(Date.now() / 1000) + 60;
    const claims = { iss: issuer, aud: "retake", sub: subject, exp, level: AccessLevel[level], groups };
    return { authorization: `Bearer ${await sign({ key: issuerKey, claims })}` };
  },
};

const issuer = "https://login.example";
let issuerKey: IssuerKey;
let directory: string;

const levels = [PUBLIC, AUTHENTICATED, PRIVILEGED, ADMIN];

let running: AccessServer;
beforeAll(async () => {
  issuerKey = await createKey();
  directory = await mkdtemp(join(tmpdir(), "retake-matrix-"));
  const jwksFile = join(directory, "keys.json");
  await writeFile(jwksFile, JSON.stringify({ keys: [issuerKey.jwk] }));
  const jwt = {
    issuer,
    audiences: ["retake"],
    algorithms: ["ES256"],
    keys: { case: "jwksFile" as const, value: jwksFile },
    identity: { level: "claims.level", groups: "claims.groups" },
  };
  running = await startAccessServer({ security: { jwt: [jwt] } });
});
afterAll(async () => {
  await running.server.close({ drainTimeoutMs: 0 });
  await rm(directory, { recursive: true });
});

/** How a call that means nothing in particular ends; undefined when it is answered. */
async function outcome(
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
const message = (method: DescMethod, { subject }: Caller) =>
  method === AccessService.method.streamed ? { parts: [{ name: subject }] } : {};

function reasonOf(error: ConnectError | undefined): string | undefined {
  return error?.findDetails(ErrorInfoSchema)[0]?.reason;
}

describe("the levels of RPCs", () => {
  it("are stated by every RPC of every service of ours", async () => {
    const directory = join(import.meta.dirname, "../../../gen/retake/v1");
    const services: DescService[] = [];
    for (const name of await readdir(directory)) {
      if (!name.endsWith("_pb.js")) continue;
      for (const value of Object.values(await import(join(directory, name)))) {
        const desc = value as Partial<DescFile>;
        if (desc?.kind === "file") services.push(...(desc.services ?? []));
      }
    }
    expect(services.map(({ name }) => name)).toEqual(expect.arrayContaining(["AdminService", "BackendService"]));
    const silent = services
      .flatMap(({ methods }) => methods)
      .filter((method) => !hasOption(method, access) || getOption(method, access).min === AccessLevel.UNSPECIFIED)
      .map(({ parent, name }) => `${parent.typeName}/${name}`);
    expect(silent).toEqual([]);
  });

  it("are expected here for every RPC that is served", () => {
    for (const [service, expected] of expectations) {
      expect(Object.keys(expected).sort()).toEqual(service.methods.map(({ name }) => name).sort());
    }
  });

  describe.each(fronts)("over %s", (front) => {
    const methods = [...expectations].flatMap(([service, expected]) =>
      isServed(front, service)
        ? service.methods.map((method) => ({ method, min: expected[method.name] ?? AccessLevel.UNSPECIFIED }))
        : [],
    );

    describe.each(Object.entries(credentials))("with %s", (kind, show) => {
      // No key is PUBLIC: whoever has one has shown something.
      const shown = levels.filter((level) => level !== PUBLIC || kind !== "an API key");

      it.each(shown.map((level) => [AccessLevel[level], level] as const))(
        "let %s do what it may",
        async (name, level) => {
          const caller: Caller = { subject: name, level, groups: ["sound"] };
          await eachMethod(methods, front, await show(caller), async (transport, { method, min }) => {
            const error = await outcome(transport, method, message(method, caller));
            if (level >= min) return expectLetIn(method, error);
            expect([nameOf(method), error?.code, reasonOf(error)]).toEqual([
              nameOf(method),
              Code.PermissionDenied,
              "LEVEL_TOO_LOW",
            ]);
            expect(error?.rawMessage).toContain(
              `${nameOf(method)} needs the level ${AccessLevel[min]}; you are ${name} as default/${name}`,
            );
          });
        },
      );

      it.each(shown.map((level) => [AccessLevel[level], level] as const))(
        "let %s start what it may call",
        async (name, level) => {
          const caller: Caller = { subject: name, level, groups: ["film"] };
          const workflows = methods.filter(({ method }) => method.parent === AccessService);
          await eachMethod(workflows, front, await show(caller), async (transport, { method, min }) => {
            const error = await outcome(transport, RunService.method.startRun, {
              workflow: workflow(method.name),
              input: { case: "json", value: JSON.stringify(message(method, caller)) },
            });
            expect([method.name, error?.code]).toEqual([method.name, level >= min ? undefined : Code.PermissionDenied]);
          });
        },
      );
    });

    it(`let callers without credentials do ${front === "in process" ? "everything" : "what is PUBLIC"}`, async () => {
      const subject = front === "in process" ? "in-process" : "anonymous";
      await eachMethod(methods, front, {}, async (transport, { method, min }) => {
        const error = await outcome(transport, method, message(method, { subject }));
        if (min === PUBLIC || front === "in process") return expectLetIn(method, error);
        expect([nameOf(method), error?.code, reasonOf(error)]).toEqual([
          nameOf(method),
          Code.Unauthenticated,
          "CREDENTIALS_MISSING",
        ]);
      });
    });
  });
});

describe("ADMIN whose credentials are limited to some workflows", () => {
  const own = workflow("Public");
  /** What keeps to those workflows, and what it takes then. Everything else of these services is the whole server's. */
  const allowed: ReadonlyMap<DescMethod, Record<string, unknown>> = new Map<DescMethod, Record<string, unknown>>([
    [AdminService.method.listBreakers, {}],
    [AdminService.method.forceBreaker, { workflow: own, mode: 1 }],
    [AdminService.method.listQualityLevels, {}],
    [AdminService.method.setQualityLevel, { workflow: own, level: 1 }],
    [AdminService.method.listFaults, {}],
    [AdminService.method.injectFault, { fault: { workflow: own } }],
    [AdminService.method.removeFault, { faultId: "none" }],
    [AdminService.method.listPolicyOverrides, {}],
    [AdminService.method.setPolicyOverride, { workflow: own }],
    [AdminService.method.deletePolicyOverride, { workflow: own }],
    [AdminService.method.createApiKey, { subject: "limited" }],
    [AdminService.method.rotateApiKey, { keyId: "none" }],
    [AdminService.method.revokeApiKey, { keyId: "none" }],
  ]);
  const methods = [...AdminService.methods, ...MonitoringService.methods].map((method) => ({ method, min: ADMIN }));

  it.each(fronts)("call nothing that is about the whole server, over %s", async (front) => {
    const admin = createClient(AdminService, running.server.transport);
    const { key } = await admin.createApiKey({ subject: "limited", level: ADMIN, workflows: [own] });
    await eachMethod(methods, front, { "x-api-key": key }, async (transport, { method }) => {
      const init = allowed.get(method);
      const error = await outcome(transport, method, init);
      if (init !== undefined) return expectLetIn(method, error);
      expect([nameOf(method), error?.code, reasonOf(error)]).toEqual([
        nameOf(method),
        Code.PermissionDenied,
        "CREDENTIALS_LIMITED",
      ]);
    });
  });

  it("are shown nothing of other workflows in lists", async () => {
    const other = workflow("Authenticated");
    const admin = createClient(AdminService, running.server.transport);
    const policy = { retry: { maxAttempts: 2 } };
    for (const each of [own, other]) {
      await admin.setPolicyOverride({ workflow: each, policy });
      await admin.injectFault({
        fault: {
          workflow: each,
          percentage: 0.001,
          effect: { case: "outOfMemory", value: create(FaultOutOfMemorySchema) },
        },
        duration: { seconds: 60n },
      });
    }
    const { key } = await admin.createApiKey({ subject: "limited", level: ADMIN, workflows: [own] });
    const transport = transportTo(running.server, "gRPC", { "x-api-key": key });
    const limited = createClient(AdminService, transport);
    expect((await limited.listPolicyOverrides({})).overrides.map((each) => each.workflow)).toEqual([own]);
    expect((await limited.listFaults({})).faults.map(({ fault }) => fault?.workflow)).toEqual([own]);
    transport.close();
    for (const { faultId } of (await admin.listFaults({})).faults) await admin.removeFault({ faultId });
    for (const each of [own, other]) await admin.deletePolicyOverride({ workflow: each });
  });
});

interface Expected {
  readonly method: DescMethod;
  readonly min: AccessLevel;
}

/** Over one connection, all at once. */
async function eachMethod(
  methods: readonly Expected[],
  front: Front,
  shown: Readonly<Record<string, string>>,
  use: (transport: Transport, expected: Expected) => Promise<void>,
): Promise<void> {
  const transport = transportTo(running.server, front, shown);
  try {
    await Promise.all(methods.map((expected) => use(transport, expected)));
  } finally {
    transport.close();
  }
}

function expectLetIn(method: DescMethod, error: ConnectError | undefined): void {
  expect([nameOf(method), error?.code]).not.toContain(Code.PermissionDenied);
  expect([nameOf(method), error?.code]).not.toContain(Code.Unauthenticated);
}

function nameOf({ parent, name }: DescMethod): string {
  return `${parent.typeName}/${name}`;
}
