import { Code, createClient } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { AccessRuleSource } from "../../../gen/retake/v1/access_rule_pb.js";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { ArtifactService } from "../../../gen/retake/v1/artifact_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { systemClock } from "../../../src/clock.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { AccessService } from "../../gen/retake/test/v1/access_pb.js";
import { rejection } from "../harness.ts";
import { type AccessServer, callers, startAccessServer, workflow } from "./access-server.ts";
import { asApiKey, type Caller, transportTo } from "./callers.ts";

let running: AccessServer;
afterEach(() => running.server.close({ drainTimeoutMs: 0 }));

/** In this process, which needs no ports to be told apart from others. */
function as(caller: Caller) {
  const transport = transportTo(running.server, "in process", asApiKey(caller));
  return {
    admin: createClient(AdminService, transport),
    runs: createClient(RunService, transport),
    files: createClient(ArtifactService, transport),
    workflows: createClient(AccessService, transport),
  };
}

const { alice, bob, lead, admin, stranger } = callers;
const forceBreaker = "retake.v1.AdminService/ForceBreaker";
const setRule = "retake.v1.AdminService/SetAccessRule";
const deleteRule = "retake.v1.AdminService/DeleteAccessRule";
const noPorts = { grpc: { disabled: true }, web: { disabled: true } } as const;
const start = (rules = {}, storage?: Parameters<typeof startAccessServer>[2]) =>
  startAccessServer({ ...noPorts, security: { access: { rules } } }, {}, storage);

describe("rules of the configuration", () => {
  it("give levels and methods to subjects and groups of their tenant", async () => {
    running = await start({
      leads: { groups: ["film"], level: AccessLevel.PRIVILEGED },
      breakers: { subjects: ["alice"], methods: [forceBreaker, workflow("Admin")] },
      everywhere: { tenant: "*", groups: ["sound"], methods: [workflow("Undeclared")] },
    });
    await as({ ...bob, groups: ["film"] }).workflows.privileged({});
    await rejection(as({ ...stranger, groups: ["film"] }).workflows.privileged({}), Code.PermissionDenied);
    await as(alice).workflows.admin({});
    await rejection(as(bob).workflows.admin({}), Code.PermissionDenied);
    await rejection(as(stranger).workflows.admin({}), Code.PermissionDenied);
    await rejection(as(alice).admin.forceBreaker({ workflow: workflow("Public") }), Code.InvalidArgument);
    await rejection(as(alice).admin.listBreakers({}), Code.PermissionDenied);
    await as({ ...stranger, groups: ["sound"] }).workflows.undeclared({});
    expect((await as(admin).admin.listAccessRules({})).rules).toMatchObject([
      { name: "breakers", source: AccessRuleSource.CONFIG, revision: 0n, setBy: "" },
      { name: "everywhere" },
      { name: "leads", rule: { groups: ["film"] } },
    ]);
  });

  it("let in callers without credentials where they name them, and give them no level", async () => {
    running = await startAccessServer({
      security: { access: { rules: { uploads: { subjects: ["anonymous"], methods: [workflow("Authenticated")] } } } },
    });
    const transport = transportTo(running.server, "gRPC", {});
    const { authenticated, privileged } = createClient(AccessService, transport);
    await authenticated({});
    await rejection(privileged({}), Code.Unauthenticated);
    // A level for them is refused by the rules of config.proto.
    const given = { subjects: ["anonymous"], level: AccessLevel.ADMIN };
    await expect(startAccessServer({ security: { access: { rules: { all: given } } } })).rejects.toThrow(
      "callers without credentials (the subject anonymous) have the level of security.anonymous_level",
    );
    transport.close();
  });

  it("keep a server from starting when they name what there is not", async () => {
    running = await start();
    await expect(start({ typo: { subjects: ["alice"], methods: [workflow("Pubilc")] } })).rejects.toThrow(
      `security.access.rules["typo"].methods: there is no method ${workflow("Pubilc")} here Did you mean "${workflow("Public")}"?`,
    );
  });
});

describe("rules that operators set", () => {
  it("hold from the next call on, and over a restart, until they are deleted", async () => {
    const storage = createMemoryStorage({ clock: systemClock });
    running = await start({}, storage);
    await rejection(as(alice).workflows.privileged({}), Code.PermissionDenied);
    const rule = { subjects: ["alice"], level: AccessLevel.PRIVILEGED };
    const set = await as(admin).admin.setAccessRule({ name: "promoted", rule, reason: "she leads now" });
    expect(set.rule).toMatchObject({ revision: 1n, setBy: "root", reason: "she leads now", rule });
    await as(alice).workflows.privileged({});
    await running.server.close({ drainTimeoutMs: 0 });

    running = await start({}, storage);
    await as(alice).workflows.privileged({});
    const [listed] = (await as(admin).admin.listAccessRules({})).rules;
    expect(listed).toEqual(set.rule);
    await as(admin).admin.deleteAccessRule({ name: "promoted" });
    await rejection(as(alice).workflows.privileged({}), Code.PermissionDenied);
    expect((await as(admin).admin.listAccessRules({})).rules).toEqual([]);
    expect((await as(admin).admin.setAccessRule({ name: "promoted", rule })).rule?.revision).toBe(3n);
  });

  it("give a limited key no more workflows than it is limited to", async () => {
    running = await start();
    const rule = { subjects: ["alice"], level: AccessLevel.ADMIN, methods: [workflow("Admin")] };
    await as(admin).admin.setAccessRule({ name: "r", rule });
    const limited = as({ ...alice, workflows: [workflow("Public")] });
    await limited.workflows.public({});
    await rejection(limited.workflows.admin({}), Code.PermissionDenied);
  });

  it("are changed by nobody whose credentials are limited to some workflows, ADMIN or not", async () => {
    running = await start();
    const rule = { subjects: ["alice"], level: AccessLevel.ADMIN };
    await as(admin).admin.setAccessRule({ name: "r", rule });
    const limited = as({ ...admin, workflows: [workflow("Public")] }).admin;
    const error = await rejection(limited.setAccessRule({ name: "mine", rule }), Code.PermissionDenied);
    expect(error.rawMessage).toContain("is about more than the workflows that your key is limited to");
    await rejection(limited.deleteAccessRule({ name: "r" }), Code.PermissionDenied);
  });

  it("are replaced only at the revision that was seen", async () => {
    running = await start();
    const rule = { subjects: ["alice"], level: AccessLevel.PRIVILEGED };
    const { admin: operator } = as(admin);
    await operator.setAccessRule({ name: "r", rule, expectedRevision: 0n });
    await rejection(operator.setAccessRule({ name: "r", rule, expectedRevision: 0n }), Code.Aborted);
    await rejection(operator.deleteAccessRule({ name: "r", expectedRevision: 2n }), Code.Aborted);
    await operator.setAccessRule({ name: "r", rule, expectedRevision: 1n });
    await rejection(operator.deleteAccessRule({ name: "none" }), Code.NotFound);
  });

  it("give nothing that who sets them does not have", async () => {
    running = await start({ setters: { subjects: ["lead"], methods: [setRule, deleteRule] } });
    const { admin: setter } = as(lead);
    const set = (rule: Parameters<typeof setter.setAccessRule>[0]["rule"], name = "r") =>
      setter.setAccessRule({ name, ...(rule && { rule }) });
    const subjects = ["bob"];
    for (const [rule, words] of [
      [{ subjects, level: AccessLevel.ADMIN }, "gives the level ADMIN"],
      [{ subjects, methods: [forceBreaker] }, `gives ${forceBreaker}`],
      [{ subjects, methods: [workflow("Undeclared")] }, `gives ${workflow("Undeclared")}`],
      [{ subjects, methods: [workflow("Grouped")] }, `gives ${workflow("Grouped")}`],
      [{ tenant: "other", subjects, level: AccessLevel.AUTHENTICATED }, "is for the tenant other"],
      [{ tenant: "*", subjects, level: AccessLevel.AUTHENTICATED }, "is for the tenant *"],
    ] as const) {
      const error = await rejection(set(rule as Parameters<typeof set>[0]), Code.PermissionDenied);
      expect(error.rawMessage).toContain(`the rule ${words}, and nobody gives or takes back`);
    }
    await set({ subjects, level: AccessLevel.PRIVILEGED, methods: [setRule, workflow("Privileged")] });
    await as(bob).workflows.privileged({});
    // Nor is anything above their own taken from others.
    await as(admin).admin.setAccessRule({ name: "theirs", rule: { subjects, level: AccessLevel.ADMIN } });
    await rejection(setter.deleteAccessRule({ name: "theirs" }), Code.PermissionDenied);
    await rejection(set({ subjects, level: AccessLevel.AUTHENTICATED }, "theirs"), Code.PermissionDenied);
    await setter.deleteAccessRule({ name: "r" });
  });

  it("end watches of those who saw a run by them", async () => {
    const held = Promise.withResolvers<void>();
    running = await startAccessServer(noPorts, {
      public: async () => {
        await held.promise;
        return {};
      },
    });
    await as(admin).admin.setAccessRule({ name: "eyes", rule: { subjects: ["bob"], level: AccessLevel.PRIVILEGED } });
    const { run } = await as(alice).runs.startRun({ workflow: workflow("Public") });
    const seen: (string | undefined)[] = [];
    const watching = (async () => {
      for await (const { update } of as(bob).runs.watchRun({ runId: run?.runId ?? "" })) {
        if (update.case === "event") seen.push(update.value.event.case);
        if (seen.at(-1) === "attemptStarted") {
          await as(admin).admin.deleteAccessRule({ name: "eyes" });
          held.resolve();
        }
      }
    })();
    expect((await rejection(watching, Code.PermissionDenied)).rawMessage).toContain("any more");
    expect(seen).toEqual(["accepted", "attemptStarted"]);
  });
});

describe("a policy that changes while the server runs", () => {
  it("makes a workflow stricter, and its operator's override laxer, from the next call on", async () => {
    running = await start();
    const name = workflow("Authenticated");
    await as(alice).workflows.authenticated({});
    await running.server.reload({ ...noPorts, workflows: { [name]: { access: { min: AccessLevel.ADMIN } } } });
    const error = await rejection(as(alice).workflows.authenticated({}), Code.PermissionDenied);
    expect(error.rawMessage).toContain(`${name} needs the level ADMIN; you are AUTHENTICATED as default/alice`);
    await rejection(as(alice).runs.startRun({ workflow: name }), Code.PermissionDenied);
    const policy = { access: { min: AccessLevel.PUBLIC } };
    await as(admin).admin.setPolicyOverride({ workflow: name, policy });
    await as(alice).workflows.authenticated({});
    await as(admin).admin.deletePolicyOverride({ workflow: name });
    await rejection(as(alice).workflows.authenticated({}), Code.PermissionDenied);
  });

  it("is not taken with a condition that is wrong, wherever it comes from", async () => {
    const wrong = (condition: string) => ({
      workflows: { [workflow("Conditional")]: { access: { min: AccessLevel.PUBLIC, condition } } },
    });
    running = await start();
    await expect(startAccessServer({ ...noPorts, ...wrong("request.sice > 3") })).rejects.toThrow(
      `${workflow("Conditional")}: access.condition: "request.sice > 3": retake.test.v1.ConditionalRequest has no field sice Did you mean "size"?`,
    );
    await expect(running.server.reload({ ...noPorts, ...wrong("request.size >") })).rejects.toThrow("access.condition");
    const policy = { access: { condition: "pricipal.level == 'ADMIN'" } };
    const error = await rejection(
      as(admin).admin.setPolicyOverride({ workflow: workflow("Conditional"), policy }),
      Code.InvalidArgument,
    );
    expect(error.rawMessage).toContain("there is no variable pricipal");
    await as(alice).workflows.conditional({ size: 1 });
  });
});

describe("conditions", () => {
  it("are asked of direct calls and of StartRun", async () => {
    running = await start();
    const { workflows, runs } = as(alice);
    await workflows.conditional({ size: 10 });
    const error = await rejection(workflows.conditional({ size: 11 }), Code.PermissionDenied);
    expect(error.rawMessage).toContain("under the access condition of its policy, which this call does not meet");
    const startRun = (size: number, of = runs) =>
      of.startRun({ workflow: workflow("Conditional"), input: { case: "json", value: JSON.stringify({ size }) } });
    await startRun(10);
    await rejection(startRun(11), Code.PermissionDenied);
    await startRun(11, as(lead).runs);
  });

  it("deny what they have no value for, with a line in the log", async () => {
    running = await start();
    const streamed = async (parts: { name: string }[]) => {
      for await (const _ of as(alice).workflows.streamed({ parts }));
    };
    await streamed([{ name: "alice" }]);
    await rejection(streamed([{ name: "bob" }]), Code.PermissionDenied);
    expect(running.log.filter(({ level }) => level === "warn")).toEqual([]);
    await rejection(streamed([]), Code.PermissionDenied);
    expect(running.log.filter(({ level }) => level === "warn")).toMatchObject([
      { fields: { method: workflow("Streamed"), subject: "alice" }, message: expect.stringContaining("no value") },
    ]);
  });
});
