import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type DescFile, type DescMethod, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { FaultOutOfMemorySchema } from "../../../gen/retake/v1/fault_pb.js";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { AccessLevel, access } from "../../../gen/retake/v1/options_pb.js";
import { createKey, type IssuerKey, sign } from "../../security/jwt/issuer.ts";
import { type AccessServer, startAccessServer, workflow } from "./access-server.ts";
import { fronts, type ShowCredentials, transportTo } from "./callers.ts";
import {
  eachMethod,
  expectations,
  expectByLevel,
  expectLetIn,
  expectStarts,
  levels,
  message,
  methodsOver,
  nameOf,
  outcome,
  reasonOf,
} from "./every-method.ts";

const { PUBLIC, ADMIN } = AccessLevel;

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
    const methods = methodsOver(front);

    describe.each(Object.entries(credentials))("with %s", (kind, show) => {
      // No key is PUBLIC: whoever has one has shown something.
      const shown = levels.filter((level) => level !== PUBLIC || kind !== "an API key");

      it.each(shown.map((level) => [AccessLevel[level], level] as const))(
        "let %s do what it may",
        async (name, level) => {
          const shown = await show({ subject: name, level, groups: ["sound"] });
          await expectByLevel(methods, transportTo(running.server, front, shown), name, level);
        },
      );

      it.each(shown.map((level) => [AccessLevel[level], level] as const))(
        "let %s start what it may call",
        async (name, level) => {
          const shown = await show({ subject: name, level, groups: ["film"] });
          await expectStarts(methods, transportTo(running.server, front, shown), name, level);
        },
      );
    });

    it(`let callers without credentials do ${front === "in process" ? "everything" : "what is PUBLIC"}`, async () => {
      const subject = front === "in process" ? "in-process" : "anonymous";
      await eachMethod(methods, transportTo(running.server, front, {}), async (transport, { method, min }) => {
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
    [AdminService.method.listApiKeys, {}],
    [AdminService.method.createApiKey, { subject: "limited" }],
    [AdminService.method.rotateApiKey, { keyId: "none" }],
    [AdminService.method.revokeApiKey, { keyId: "none" }],
  ]);
  const methods = [...AdminService.methods, ...MonitoringService.methods].map((method) => ({ method, min: ADMIN }));

  it.each(fronts)("call nothing that is about the whole server, over %s", async (front) => {
    const admin = createClient(AdminService, running.server.transport);
    const { key } = await admin.createApiKey({ subject: "limited", level: ADMIN, workflows: [own] });
    await eachMethod(
      methods,
      transportTo(running.server, front, { "x-api-key": key }),
      async (transport, { method }) => {
        const init = allowed.get(method);
        const error = await outcome(transport, method, init);
        if (init !== undefined) return expectLetIn(method, error);
        expect([nameOf(method), error?.code, reasonOf(error)]).toEqual([
          nameOf(method),
          Code.PermissionDenied,
          "CREDENTIALS_LIMITED",
        ]);
      },
    );
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
