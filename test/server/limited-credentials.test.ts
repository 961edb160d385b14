import { Code, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { BreakerMode } from "../../gen/retake/v1/breaker_pb.js";
import { Quality } from "../../gen/retake/v1/options_pb.js";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import { type AccessServer, callers, startAccessServer, workflow } from "./access/access-server.ts";
import { asApiKey, type Caller, transportTo } from "./access/callers.ts";
import { rejection } from "./harness.ts";

let running: AccessServer;
beforeAll(async () => {
  running = await startAccessServer({ grpc: { disabled: true }, web: { disabled: true } });
});
afterAll(() => running.server.close({ drainTimeoutMs: 0 }));

function as(caller: Caller) {
  const transport = transportTo(running.server, "in process", asApiKey(caller));
  return { admin: createClient(AdminService, transport), runs: createClient(RunService, transport) };
}

type Clients = ReturnType<typeof as>;

const mine = workflow("Public");
const theirs = workflow("Admin");
const duration = { seconds: 60n };
const fault = (name: string) => ({ workflow: name, effect: { case: "delay" as const, value: { duration } } });

const changes: readonly (readonly [rpc: string, change: (clients: Clients, name: string) => Promise<unknown>])[] = [
  ["SetPolicyOverride", ({ admin }, name) => admin.setPolicyOverride({ workflow: name, policy: {} })],
  ["DeletePolicyOverride", ({ admin }, name) => admin.deletePolicyOverride({ workflow: name })],
  ["ForceBreaker", ({ admin }, name) => admin.forceBreaker({ workflow: name, mode: BreakerMode.AUTOMATIC })],
  ["SetQualityLevel", ({ admin }, name) => admin.setQualityLevel({ workflow: name, level: Quality.FULL })],
  ["InjectFault", ({ admin }, name) => admin.injectFault({ fault: fault(name), duration })],
  ["PauseWorkflow", ({ runs }, name) => runs.pauseWorkflow({ workflow: name })],
  ["ResumeWorkflow", ({ runs }, name) => runs.resumeWorkflow({ workflow: name })],
];

describe("ADMIN credentials that are limited to some workflows", () => {
  const limited = { ...callers.admin, workflows: [mine] };

  it.each(changes)("are refused %s of another workflow, and not of theirs", async (_, change) => {
    const error = await rejection(change(as(limited), theirs), Code.PermissionDenied);
    expect(error.findDetails(ErrorInfoSchema)[0]?.reason).toBe("CREDENTIALS_LIMITED");
    const code = await change(as(limited), mine).then(
      () => undefined,
      (thrown) => thrown.code,
    );
    // Some have nothing to change: this workflow has neither a breaker nor levels of quality.
    expect([undefined, Code.FailedPrecondition]).toContain(code);
  });

  it("have no other workflow answer for theirs, nor the server post to anybody", async () => {
    const { admin } = as(limited);
    for (const policy of [
      { fallbacks: [theirs] },
      { fallbacks: [mine, theirs] },
      { notify: { url: "http://127.0.0.1:1/" } },
      { clear: ["notify"] },
      { clear: ["timeout", "notify.url"] },
    ]) {
      const refused = await rejection(admin.setPolicyOverride({ workflow: mine, policy }), Code.PermissionDenied);
      expect(refused.findDetails(ErrorInfoSchema)[0]?.reason).toBe("CREDENTIALS_LIMITED");
    }
    expect(
      (await as(callers.admin).admin.listPolicyOverrides({ workflow: mine })).overrides[0]?.policy,
    ).not.toMatchObject({
      fallbacks: [theirs],
    });
  });

  it("see the API keys that can do no more than they can, page by page", async () => {
    const { admin } = as(callers.admin);
    const made = async (label: string, workflows: string[], tenant = "default"): Promise<string> =>
      (await admin.createApiKey({ label, subject: "ana", tenant, workflows })).apiKey?.keyId ?? "";
    const within = [await made("mine", [mine]), await made("mine, too", [mine])];
    const beyond = [
      await made("theirs", [theirs]),
      await made("both", [mine, theirs]),
      await made("all", []),
      await made("mine, of another tenant", [mine], "elsewhere"),
    ];
    const seen: string[] = [];
    for (let pageToken = ""; ; ) {
      const page = await as(limited).admin.listApiKeys({ pageSize: 1, pageToken });
      seen.push(...page.apiKeys.map(({ keyId }) => keyId));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    expect(seen).toEqual(within.toSorted());
    const all = (await admin.listApiKeys({})).apiKeys.map(({ keyId }) => keyId);
    expect(all).toEqual(expect.arrayContaining([...within, ...beyond]));
  });

  it("end no drill of another workflow, and none that ends the server is theirs", async () => {
    const { fault: begun } = await as(callers.admin).admin.injectFault({ fault: fault(theirs), duration });
    const faultId = begun?.faultId ?? "";
    await rejection(as(limited).admin.removeFault({ faultId }), Code.PermissionDenied);
    await as(callers.admin).admin.removeFault({ faultId });
    const crash = { workflow: mine, effect: { case: "crash" as const, value: {} } };
    await rejection(as(limited).admin.injectFault({ fault: crash, duration }), Code.PermissionDenied);
  });
});
