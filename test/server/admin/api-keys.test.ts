import { Code, createClient, createServiceImplSpec, type ServiceImpl } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { ApiKeyState } from "../../../gen/retake/v1/api_key_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { JournalUnavailableError, silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import {
  ApiKeys,
  type AuditEvent,
  inProcess,
  noAudit,
  type Principal,
  principalKey,
} from "../../../src/security/index.ts";
import { apiKeyMethods } from "../../../src/server/admin/api-keys.ts";
import {
  createSeededRandom,
  createVirtualClock,
  type TestServerOptions,
  type VirtualClock,
} from "../../../src/testing/index.ts";
import { createInProcessTransport } from "../../../src/transport/index.ts";
import { rejection, startServer, stopServer } from "../harness.ts";

const day = 24 * 3_600_000;
const seconds = (ms: number) => ({ seconds: BigInt(ms / 1000) });

/** The RPCs for callers of any kind, on virtual time. */
async function startAdmin() {
  const clock = createVirtualClock();
  const { journal } = createMemoryStorage({ clock });
  const apiKeys = new ApiKeys({ journal, clock, random: createSeededRandom(3), log: silentLogger });
  const events: AuditEvent[] = [];
  const methods = apiKeyMethods(
    { clock },
    { apiKeys, adminKeyFile: undefined, audit: { ...noAudit, record: (event) => events.push(event) } },
  );
  let caller: Principal = inProcess;
  const transport = createInProcessTransport(
    [createServiceImplSpec(AdminService, methods as Partial<ServiceImpl<typeof AdminService>>)],
    {
      clock,
      interceptors: [
        (next) => (request) => {
          request.contextValues.set(principalKey, caller);
          return next(request);
        },
      ],
    },
  );
  const as = (who: Partial<Principal>) => {
    caller = { ...inProcess, ...who };
  };
  return { clock, journal, apiKeys, admin: createClient(AdminService, transport), as, events };
}

/** Lets virtual time pass while a call is answered. */
async function settled<T>(clock: VirtualClock, call: Promise<T>): Promise<T> {
  const [result] = await Promise.all([call, clock.advance(0)]);
  return result;
}

async function reasonOf(call: Promise<unknown>, code: Code): Promise<string | undefined> {
  return (await rejection(call, code)).findDetails(ErrorInfoSchema)[0]?.reason;
}

describe("AdminService, about API keys", () => {
  it("makes a key, tells it once, and lists what is known of it", async () => {
    const { admin } = await startAdmin();
    const { key, apiKey } = await admin.createApiKey({
      ...{ subject: "ana", label: "laptop", groups: ["artists"], workflows: ["a.B/C"], ttl: seconds(day) },
      level: AccessLevel.PRIVILEGED,
    });
    expect(key).toMatch(/^rtk_/);
    expect(apiKey).toMatchObject({
      ...{ subject: "ana", tenant: "default", label: "laptop", groups: ["artists"], workflows: ["a.B/C"] },
      ...{ level: AccessLevel.PRIVILEGED, state: ApiKeyState.ACTIVE, createdBy: "in-process" },
    });
    expect(key.split("_")[1]).toBe(apiKey?.keyId);
    expect(Number(apiKey?.expireTime?.seconds)).toBe(Number(apiKey?.createTime?.seconds) + day / 1000);
    const listed = await admin.listApiKeys({});
    expect(listed.apiKeys).toEqual([apiKey]);
    expect(JSON.stringify(listed, (_, value) => (typeof value === "bigint" ? String(value) : value))).not.toContain(
      key,
    );
  });

  it("gives AUTHENTICATED and the caller's tenant where nothing is said", async () => {
    const { admin, as } = await startAdmin();
    as({ tenant: "studio" });
    const { apiKey } = await admin.createApiKey({ subject: "ana" });
    expect(apiKey).toMatchObject({ tenant: "studio", level: AccessLevel.AUTHENTICATED, workflows: [] });
    expect(apiKey?.expireTime).toBeUndefined();
  });

  it("gives, replaces and takes away no more than the caller has", async () => {
    const { admin, as } = await startAdmin();
    const top = await admin.createApiKey({ subject: "ops", level: AccessLevel.ADMIN });
    const beyond = (call: Promise<unknown>) => reasonOf(call, Code.PermissionDenied);
    as({ level: AccessLevel.PRIVILEGED, tenant: "studio", groups: ["artists"] });
    for (const call of [
      admin.createApiKey({ subject: "x", level: AccessLevel.ADMIN }),
      admin.createApiKey({ subject: "x", tenant: "other" }),
      admin.createApiKey({ subject: "x", groups: ["artists", "bosses"] }),
      admin.rotateApiKey({ keyId: top.apiKey?.keyId ?? "" }),
      admin.revokeApiKey({ keyId: top.apiKey?.keyId ?? "", force: true }),
    ]) {
      expect(await beyond(call)).toBe("BEYOND_CALLER");
    }
    const own = await admin.createApiKey({ subject: "in-process", groups: ["artists"], level: AccessLevel.PRIVILEGED });
    expect(own.apiKey?.level).toBe(AccessLevel.PRIVILEGED);
    as({ level: AccessLevel.ADMIN, workflows: new Set(["a.B/C"]) });
    expect(await beyond(admin.createApiKey({ subject: "x", workflows: ["a.B/D"] }))).toBe("BEYOND_CALLER");
    expect(await beyond(admin.rotateApiKey({ keyId: top.apiKey?.keyId ?? "" }))).toBe("BEYOND_CALLER");
    expect((await admin.createApiKey({ subject: "in-process" })).apiKey?.workflows).toEqual(["a.B/C"]);
  });

  it("gives nobody below ADMIN a key of somebody else, who may have more by access rules", async () => {
    const { admin, as } = await startAdmin();
    const beyond = (call: Promise<unknown>) => reasonOf(call, Code.PermissionDenied);
    const boss = await admin.createApiKey({ subject: "boss", level: AccessLevel.PRIVILEGED });
    const own = await admin.createApiKey({ subject: "lead" });
    as({ subject: "lead", level: AccessLevel.PRIVILEGED });
    expect(await beyond(admin.createApiKey({ subject: "boss" }))).toBe("BEYOND_CALLER");
    expect(await beyond(admin.rotateApiKey({ keyId: boss.apiKey?.keyId ?? "" }))).toBe("BEYOND_CALLER");
    expect((await admin.createApiKey({ subject: "lead" })).apiKey?.subject).toBe("lead");
    expect((await admin.rotateApiKey({ keyId: own.apiKey?.keyId ?? "" })).apiKey?.subject).toBe("lead");
  });

  it("gives ADMIN that is limited to some workflows no key of somebody else, another tenant or group either", async () => {
    const { admin, as } = await startAdmin();
    const beyond = (call: Promise<unknown>) => reasonOf(call, Code.PermissionDenied);
    const workflows = ["a.B/C"];
    const theirs = await admin.createApiKey({ subject: "alice", workflows });
    const other = await admin.createApiKey({ subject: "ops", tenant: "other", workflows });
    as({ subject: "ops", workflows: new Set(workflows) });
    for (const call of [
      admin.createApiKey({ subject: "alice" }),
      admin.createApiKey({ subject: "ops", tenant: "other" }),
      admin.createApiKey({ subject: "ops", groups: ["bosses"] }),
      admin.rotateApiKey({ keyId: theirs.apiKey?.keyId ?? "" }),
      admin.rotateApiKey({ keyId: other.apiKey?.keyId ?? "" }),
      admin.revokeApiKey({ keyId: other.apiKey?.keyId ?? "" }),
    ]) {
      expect(await beyond(call)).toBe("BEYOND_CALLER");
    }
    expect((await admin.createApiKey({ subject: "ops" })).apiKey).toMatchObject({ subject: "ops", workflows });
  });

  it("replaces a key: the old one rotates for a day, or as long as is said", async () => {
    const { admin, clock } = await startAdmin();
    const { apiKey } = await admin.createApiKey({ subject: "ana" });
    const { key, apiKey: made, replaced } = await admin.rotateApiKey({ keyId: apiKey?.keyId ?? "" });
    expect(key.split("_")[1]).toBe(made?.keyId);
    expect(made).toMatchObject({ subject: "ana", replaces: apiKey?.keyId, state: ApiKeyState.ACTIVE });
    expect(replaced).toMatchObject({ state: ApiKeyState.ROTATING, replacedBy: made?.keyId });
    expect(Number(replaced?.expireTime?.seconds) * 1000).toBe(clock.now() + day);
    expect(await reasonOf(admin.rotateApiKey({ keyId: apiKey?.keyId ?? "" }), Code.FailedPrecondition)).toBe(
      "API_KEY_ENDED",
    );
    await clock.advance(day);
    expect((await admin.listApiKeys({})).apiKeys.map(({ keyId }) => keyId)).toEqual([made?.keyId]);
    const all = await admin.listApiKeys({ includeEnded: true });
    expect(all.apiKeys.find(({ keyId }) => keyId === apiKey?.keyId)?.state).toBe(ApiKeyState.EXPIRED);
  });

  it("revokes a key, and the last of level ADMIN only by force", async () => {
    const { admin } = await startAdmin();
    const { apiKey } = await admin.createApiKey({ subject: "ops", level: AccessLevel.ADMIN });
    const keyId = apiKey?.keyId ?? "";
    expect(await reasonOf(admin.revokeApiKey({ keyId }), Code.FailedPrecondition)).toBe("LAST_ADMIN_KEY");
    const revoked = await admin.revokeApiKey({ keyId, force: true, reason: "lost" });
    expect(revoked.apiKey).toMatchObject({
      state: ApiKeyState.REVOKED,
      revokedBy: "in-process",
      revokeReason: "lost",
    });
    expect(revoked.apiKey?.expireTime).toBeUndefined();
    expect((await admin.revokeApiKey({ keyId })).apiKey).toEqual(revoked.apiKey);
    expect(await reasonOf(admin.revokeApiKey({ keyId: "nobody" }), Code.NotFound)).toBe("API_KEY_NOT_FOUND");
  });

  it("lists keys page by page, and those of one subject", async () => {
    const { admin } = await startAdmin();
    for (let n = 0; n < 7; n++) await admin.createApiKey({ subject: n % 2 === 0 ? "ana" : "bob" });
    const found: string[] = [];
    let pageToken = "";
    do {
      const page = await admin.listApiKeys({ pageSize: 3, pageToken });
      found.push(...page.apiKeys.map(({ keyId }) => keyId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(found).toEqual([...new Set(found)].sort());
    expect(found).toHaveLength(7);
    expect((await admin.listApiKeys({ subject: "ana" })).apiKeys).toHaveLength(4);
    const { nextPageToken } = await admin.listApiKeys({ pageSize: 1 });
    await rejection(admin.listApiKeys({ subject: "ana", pageToken: nextPageToken }), Code.InvalidArgument);
  });

  it("has on record who did what to which key, and who was not let", async () => {
    const { admin, as, events, journal } = await startAdmin();
    const { apiKey, key } = await admin.createApiKey({ subject: "ana" });
    const keyId = apiKey?.keyId ?? "";
    as({ subject: "boss" });
    const { apiKey: made } = await admin.rotateApiKey({ keyId });
    await admin.revokeApiKey({ keyId });
    as({ subject: "eve", level: AccessLevel.PUBLIC });
    await rejection(admin.revokeApiKey({ keyId }));
    as({});
    journal.append = () => Promise.reject(new JournalUnavailableError("away"));
    await rejection(admin.createApiKey({ subject: "ana" }), Code.Unavailable);
    expect(
      events.map(({ action, outcome, resource, principal }) => [action, outcome, resource, principal.subject]),
    ).toEqual([
      ["key.create", "granted", keyId, "in-process"],
      ["key.rotate", "granted", made?.keyId, "boss"],
      ["key.revoke", "granted", keyId, "boss"],
      ["key.revoke", "denied", keyId, "eve"],
      ["key.create", "failed", "", "in-process"],
    ]);
    expect(events[1]?.details).toEqual({ subject: "ana", tenant: "default", level: "AUTHENTICATED", replaces: keyId });
    expect(JSON.stringify(events)).not.toContain(key);
  });

  it.each<[what: string, init: object]>([
    ["no subject", { subject: "" }],
    ["a subject with a space", { subject: "a b" }],
    ["a subject with a control character", { subject: "a\u0007" }],
    ["PUBLIC", { subject: "a", level: AccessLevel.PUBLIC }],
    ["a level that there is not", { subject: "a", level: 9 }],
    ["a workflow that is no name", { subject: "a", workflows: ["Draw"] }],
    ["a time of seconds", { subject: "a", ttl: seconds(1000) }],
  ])("refuses %s", async (_, init) => {
    const harness = await startServer();
    onTestFinished(() => stopServer(harness));
    const admin = createClient(AdminService, harness.server.transport);
    await rejection(admin.createApiKey(init), Code.InvalidArgument);
  });
});

describe("a server with API keys", () => {
  async function start(options: TestServerOptions = {}) {
    const harness = await startServer({}, options);
    const admin = createClient(AdminService, harness.server.transport);
    const show = async (key: string, method: "list" | "workflow" = "list") => {
      const headers = { "x-api-key": key };
      const call: Promise<unknown> =
        method === "list" ? admin.listApiKeys({}, { headers }) : harness.workflows.plain({}, { headers });
      return settled(harness.clock, call).then(
        () => "taken",
        (error: unknown) => String(error),
      );
    };
    return { ...harness, admin, show };
  }

  it("takes a key from its making on, refuses it from its revocation on, and remembers both", async () => {
    const before = await start();
    const { key, apiKey } = await settled(
      before.clock,
      before.admin.createApiKey({ subject: "ops", level: AccessLevel.ADMIN }),
    );
    const other = await settled(before.clock, before.admin.createApiKey({ subject: "b", level: AccessLevel.ADMIN }));
    expect([await before.show(key), await before.show(key, "workflow")]).toEqual(["taken", "taken"]);
    await settled(before.clock, before.admin.revokeApiKey({ keyId: apiKey?.keyId ?? "" }));
    expect(await before.show(key)).toContain("unknown, revoked or expired");
    await stopServer(before);
    const after = await start({ clock: before.clock, storage: before.storage });
    onTestFinished(() => stopServer(after));
    expect(await after.show(key)).toContain("unknown, revoked or expired");
    expect(await after.show(other.key)).toBe("taken");
  });

  it("keeps over a restart when a key was used last", async () => {
    const before = await start();
    const { key, apiKey } = await settled(
      before.clock,
      before.admin.createApiKey({ subject: "ops", level: AccessLevel.ADMIN }),
    );
    expect(apiKey?.lastUseTime).toBeUndefined();
    const usedMs = before.clock.now();
    await before.show(key);
    await stopServer(before);
    await before.clock.advance(1000);
    const after = await start({ clock: before.clock, storage: before.storage });
    onTestFinished(() => stopServer(after));
    const { apiKeys } = await after.admin.listApiKeys({});
    expect(Number(apiKeys[0]?.lastUseTime?.seconds)).toBe(usedMs / 1000);
  });

  it("takes none, and makes none, where its configuration says so", async () => {
    const on = await start();
    const { key } = await settled(on.clock, on.admin.createApiKey({ subject: "ops", level: AccessLevel.ADMIN }));
    await stopServer(on);
    const off = await start({
      clock: on.clock,
      storage: on.storage,
      config: { security: { apiKeys: { disabled: true }, lockout: { disabled: true } } },
    });
    onTestFinished(() => stopServer(off));
    expect(await off.show(key)).toContain("of no kind that the server takes");
    expect(await reasonOf(off.admin.createApiKey({ subject: "ops" }), Code.FailedPrecondition)).toBe(
      "API_KEYS_DISABLED",
    );
  });
});
