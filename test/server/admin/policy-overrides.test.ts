import { create, toBinary } from "@bufbuild/protobuf";
import { type Client, Code, type ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { RecoveryAction } from "../../../gen/retake/v1/options_pb.js";
import { type PolicyOverride, PolicyOverrideEventSchema } from "../../../gen/retake/v1/policy_override_pb.js";
import { RunState } from "../../../gen/retake/v1/run_pb.js";
import { call, JournalUnavailableError } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { durationFromMs, msFromTimestamp } from "../../../src/runs/time.ts";
import { createVirtualClock, type TestServerOptions } from "../../../src/testing/index.ts";
import { WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";
import { deferred, eventsOf, type Harness, rejection, startServer, stateOf, stopServer } from "../harness.ts";
import { recordingLogger } from "../listening-server.ts";

const name = (method: string) => `${WorkflowsService.typeName}/${method}`;
const flaky = name("Flaky");

type AdminHarness = Harness & { readonly admin: Client<typeof AdminService> };

async function start(
  own: Parameters<typeof startServer>[0] = {},
  options: TestServerOptions = {},
): Promise<AdminHarness> {
  const harness = await startServer(own, options);
  onTestFinished(() => stopServer(harness));
  return { ...harness, admin: createClient(AdminService, harness.server.transport) };
}

async function restart(
  before: AdminHarness,
  own: Parameters<typeof startServer>[0] = {},
  options: TestServerOptions = {},
): Promise<AdminHarness> {
  await stopServer(before);
  return start(own, { storage: before.storage, clock: before.clock, ...options });
}

async function startRun({ runs, clock }: Harness, workflow: string): Promise<string> {
  const { run } = await runs.startRun({ workflow });
  await clock.advance(0);
  return run?.runId ?? "";
}

async function overridesOf({ admin }: AdminHarness): Promise<PolicyOverride[]> {
  return (await admin.listPolicyOverrides({})).overrides;
}

/** The fields that an error says are wrong. */
function wrongFields(error: ConnectError): string[] {
  return error
    .findDetails(BadRequestSchema)
    .flatMap(({ fieldViolations }) => fieldViolations.map(({ field }) => field));
}

const away = () => {
  throw new Response(null, { status: 503 });
};

const restarting = { rules: [{ action: RecoveryAction.RESTART }] };

const limitOf = (limit: number) => ({ concurrency: { limit } });

describe("an override of a policy", () => {
  it("is merged over contract and configuration, and says who set it, when and why", async () => {
    const harness = await start({}, { config: { workflows: { [flaky]: { retry: { maxAttempts: 5 } } } } });
    await harness.clock.advance(5000);
    const { override } = await harness.admin.setPolicyOverride({
      workflow: flaky,
      policy: { retry: { initialBackoff: durationFromMs(2000), retryableStatusCodes: ["ABORTED"] } },
      reason: "the pool is slow today",
    });
    expect(override).toMatchObject({
      workflow: flaky,
      revision: 1n,
      setBy: "in-process",
      reason: "the pool is slow today",
      problems: [],
      effectivePolicy: {
        timeout: { seconds: 600n },
        retry: {
          maxAttempts: 5,
          initialBackoff: { seconds: 2n },
          maxBackoff: { seconds: 10n },
          retryableStatusCodes: ["ABORTED"],
        },
      },
    });
    expect(override?.policy?.retry?.maxAttempts).toBeUndefined();
    expect(msFromTimestamp(override?.setTime)).toBe(harness.clock.now());
    expect(await overridesOf(harness)).toEqual([override]);
    const { workflows } = await harness.runs.listWorkflows({});
    expect(workflows.find(({ workflow }) => workflow === flaky)?.policy).toEqual(override?.effectivePolicy);
  });

  it("takes back what contract and configuration say, and gives that back when it is deleted", async () => {
    const harness = await start(
      {},
      { config: { workflows: { [flaky]: { recovery: restarting, retry: { lowerQuality: true } } } } },
    );
    const { override } = await harness.admin.setPolicyOverride({
      workflow: flaky,
      policy: {
        clear: ["recovery", "retry.lower_quality", "retry.retryable_status_codes"],
        retry: { maxAttempts: 2 },
      },
    });
    expect(override?.effectivePolicy).toMatchObject({
      clear: [],
      retry: { maxAttempts: 2, lowerQuality: false, retryableStatusCodes: [], backoffMultiplier: 2 },
    });
    expect(override?.effectivePolicy?.recovery).toBeUndefined();
    const again = await restart(harness, {}, { config: { workflows: { [flaky]: { recovery: restarting } } } });
    const policyOf = async () => (await again.runs.listWorkflows({})).workflows.find((each) => each.workflow === flaky);
    expect((await policyOf())?.policy?.recovery).toBeUndefined();
    await again.admin.deletePolicyOverride({ workflow: flaky });
    expect((await policyOf())?.policy?.recovery).toMatchObject(restarting);
    const unknown = again.admin.setPolicyOverride({ workflow: flaky, policy: { clear: ["fallback"] } });
    const error = await rejection(unknown, Code.InvalidArgument);
    expect(error.message).toContain('a policy has no "fallback". Did you mean "fallbacks"?');
    expect(wrongFields(error)).toEqual(["policy.clear"]);
  });

  it("holds for the next attempts of runs that have begun, and names itself in them", async () => {
    const harness = await start({ flaky: away });
    const runId = await startRun(harness, flaky);
    expect(await stateOf(harness, runId)).toBe(RunState.BACKING_OFF);
    const { override } = await harness.admin.setPolicyOverride({
      workflow: flaky,
      policy: { retry: { maxAttempts: 2 } },
    });
    await harness.clock.advance(60_000);
    expect(await stateOf(harness, runId)).toBe(RunState.FAILED);
    const revisions = (await eventsOf(harness, runId)).flatMap(({ event }) =>
      event.case === "attemptStarted" ? [event.value.policyRevision] : [],
    );
    expect(revisions).toHaveLength(2);
    expect(revisions[0]).not.toBe(revisions[1]);
    expect(revisions[1]).toBe(override?.policyRevision);
  });

  it("wakes runs that wait for what it gives them, at once, and leaves them waiting when it is taken back", async () => {
    const release = deferred();
    let working = 0;
    const harness = await start({
      limited: async () => {
        working += 1;
        await release.promise;
        return {};
      },
    });
    const limited = name("Limited");
    for (let index = 0; index < 3; index++) await startRun(harness, limited);
    expect(working).toBe(1);
    await harness.admin.setPolicyOverride({ workflow: limited, policy: limitOf(3) });
    await harness.clock.advance(0);
    expect(working).toBe(3);
    await harness.admin.deletePolicyOverride({ workflow: limited });
    await startRun(harness, limited);
    expect(working).toBe(3);
    release.resolve();
    await harness.clock.advance(0);
    expect(working).toBe(4);
  });

  it("lets those go on that wait for their permit behind a child, and is not undone by them", async () => {
    const [child, others] = [deferred(), deferred()];
    const begun: string[] = [];
    const harness = await start({
      limited: async ({ text }, context) => {
        begun.push(text);
        if (text === "parent") await call(context, "child", WorkflowsService.method.plain, {});
        else await others.promise;
        return {};
      },
      plain: async () => {
        await child.promise;
        return {};
      },
    });
    const limited = name("Limited");
    const begin = async (text: string) => {
      const input = { case: "json" as const, value: JSON.stringify({ text }) };
      const { run } = await harness.runs.startRun({ workflow: limited, input });
      await harness.clock.advance(0);
      return run?.runId ?? "";
    };
    const parent = await begin("parent");
    await begin("a");
    child.resolve();
    await harness.clock.advance(0);
    // The other one has its permit.
    expect(await stateOf(harness, parent)).toBe(RunState.RUNNING);
    await harness.admin.setPolicyOverride({ workflow: limited, policy: limitOf(2) });
    await harness.clock.advance(0);
    expect(await stateOf(harness, parent)).toBe(RunState.SUCCEEDED);
    await begin("b");
    expect(begun).toEqual(["parent", "a", "b"]);
    others.resolve();
  });

  it("holds for direct calls", async () => {
    const harness = await start({ hurried: () => new Promise<never>(() => {}) });
    await harness.admin.setPolicyOverride({
      workflow: name("Hurried"),
      policy: { attemptTimeout: durationFromMs(1000) },
    });
    const call = rejection(harness.workflows.hurried({}), Code.Unavailable);
    await harness.clock.advance(1000);
    expect((await call).rawMessage).toContain("1000 ms (attempt_timeout)");
    // The deadline is set when a call is accepted.
    await harness.admin.setPolicyOverride({ workflow: name("Hurried"), policy: { timeout: durationFromMs(500) } });
    const late = rejection(harness.workflows.hurried({}), Code.DeadlineExceeded);
    await harness.clock.advance(500);
    await late;
  });

  it("is set by one after the other", async () => {
    const harness = await start();
    const set = await Promise.all(
      [1, 2, 3, 4].map((limit) => harness.admin.setPolicyOverride({ workflow: flaky, policy: limitOf(limit) })),
    );
    expect(set.map(({ override }) => override?.revision)).toEqual([1n, 2n, 3n, 4n]);
    expect((await overridesOf(harness))[0]?.effectivePolicy?.concurrency?.limit).toBe(4);
  });

  it("outlives restarts and reloads, until it is taken back", async () => {
    let harness = await start();
    await harness.admin.setPolicyOverride({ workflow: flaky, policy: { retry: { maxAttempts: 7 } } });
    const [before] = await overridesOf(harness);
    harness = await restart(harness);
    expect(await overridesOf(harness)).toEqual([before]);
    await harness.server.reload({
      grpc: { disabled: true },
      web: { disabled: true },
      workflows: { [flaky]: { retry: { maxAttempts: 2, maxBackoff: { seconds: 9n } } } },
    });
    const effective = async () => (await overridesOf(harness))[0]?.effectivePolicy?.retry;
    expect(await effective()).toMatchObject({ maxAttempts: 7, maxBackoff: { seconds: 9n } });
    const { override } = await harness.admin.deletePolicyOverride({ workflow: flaky, reason: "all is well" });
    expect(override).toMatchObject({ revision: 1n, policy: { retry: { maxAttempts: 7 } } });
    expect(override?.effectivePolicy?.retry?.maxAttempts).toBe(2);
    harness = await restart(harness);
    expect(await overridesOf(harness)).toEqual([]);
    const again = await harness.admin.setPolicyOverride({ workflow: flaky, policy: {} });
    expect(again.override?.revision).toBe(3n);
  });

  it("is replaced as a whole", async () => {
    const harness = await start();
    await harness.admin.setPolicyOverride({ workflow: flaky, policy: { retry: { maxAttempts: 7 } } });
    const { override } = await harness.admin.setPolicyOverride({ workflow: flaky, policy: limitOf(3) });
    expect(override).toMatchObject({ revision: 2n, effectivePolicy: { retry: { maxAttempts: 4 } } });
  });

  it("is changed by one of several who have seen the same", async () => {
    const harness = await start();
    const set = (limit: number, expectedRevision: bigint) =>
      harness.admin.setPolicyOverride({ workflow: flaky, policy: limitOf(limit), expectedRevision });
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, (_, index) => set(index + 1, 0n)));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    const lost = await rejection(set(5, 0n), Code.Aborted);
    expect(lost.rawMessage).toContain("is at revision 1, and not at 0");
    await rejection(harness.admin.deletePolicyOverride({ workflow: flaky, expectedRevision: 2n }), Code.Aborted);
    expect((await set(6, 1n)).override?.revision).toBe(2n);
    await harness.admin.deletePolicyOverride({ workflow: flaky, expectedRevision: 2n });
  });

  it("tells everything that is wrong with it at once, by field, and changes nothing", async () => {
    const harness = await start();
    const before = (await harness.runs.listWorkflows({})).workflows;
    const set = (policy: Parameters<typeof harness.admin.setPolicyOverride>[0]["policy"], workflow = flaky) =>
      rejection(harness.admin.setPolicyOverride(policy === undefined ? { workflow } : { workflow, policy }));
    const ranges = await set({
      retry: { maxAttempts: 0, retryableStatusCodes: ["OK"] },
      concurrency: { limit: -1 },
      fallbacks: ["no name"],
    });
    expect(ranges.code).toBe(Code.InvalidArgument);
    expect(wrongFields(ranges).sort()).toEqual([
      "policy.concurrency.limit",
      "policy.fallbacks[0]",
      "policy.retry.max_attempts",
      "policy.retry.retryable_status_codes[0]",
    ]);
    const together = await set({
      retry: { initialBackoff: { seconds: 20n } },
      fallbacks: ["a.B/C", flaky],
      updates: ["line"],
      notify: { url: "https://hooks.example/" },
    });
    expect(wrongFields(together).sort()).toEqual([
      "policy.fallbacks[0]",
      "policy.fallbacks[1]",
      "policy.retry.initial_backoff",
      "policy.updates",
    ]);
    expect(wrongFields(await set({ notify: { url: "https://hooks.example/" } }))).toEqual(["policy.notify.url"]);
    expect(wrongFields(await set({ updates: ["gone"] }, name("Streaming")))).toEqual(["policy"]);
    expect(wrongFields(await set(undefined))).toEqual(["policy"]);
    expect(wrongFields(await set({ access: { condition: "x".repeat(99_999) } }))).toEqual(["policy"]);
    const unknown = await set({}, name("Flakky"));
    expect(unknown.code).toBe(Code.NotFound);
    expect(unknown.rawMessage).toContain(flaky);
    await rejection(harness.admin.deletePolicyOverride({ workflow: flaky }), Code.NotFound);
    expect((await harness.runs.listWorkflows({})).workflows).toEqual(before);
    expect(await overridesOf(harness)).toEqual([]);
    expect(await harness.storage.journal.listStreams("policy/", "", 10)).toEqual([]);
  });

  it("refuses fallbacks that lead back, whichever override closes the circle", async () => {
    const harness = await start();
    await harness.admin.setPolicyOverride({ workflow: name("Hurried"), policy: { fallbacks: [name("Plain")] } });
    const error = await rejection(
      harness.admin.setPolicyOverride({ workflow: name("Plain"), policy: { fallbacks: [name("Hurried")] } }),
      Code.InvalidArgument,
    );
    expect(error.rawMessage).toContain(`${name("Hurried")} -> ${name("Plain")}`);
  });

  it("that does not fit stops no server: the log and the list say why, and the others hold", async () => {
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const stored = (policy: object) =>
      toBinary(
        PolicyOverrideEventSchema,
        create(PolicyOverrideEventSchema, { event: { case: "set", value: { policy, requestedBy: "ana" } } }),
      );
    await storage.journal.append([
      { stream: `policy/${flaky}`, expectedSequence: 0, records: [stored({ retry: { maxAttempts: 1000 } })] },
      { stream: "policy/gone.v1.Gone/Gone", expectedSequence: 0, records: [stored(limitOf(2))] },
      { stream: `policy/${name("Limited")}`, expectedSequence: 0, records: [stored(limitOf(4))] },
      { stream: `policy/${name("Once")}`, expectedSequence: 0, records: [stored({ fallbacks: ["a.B/Gone"] })] },
    ]);
    const log = recordingLogger();
    const harness = await start({}, { clock, storage, log });
    const overrides = new Map((await overridesOf(harness)).map((each) => [each.workflow, each]));
    expect(overrides.get("gone.v1.Gone/Gone")).toMatchObject({
      problems: ["gone.v1.Gone/Gone: no contract has this workflow"],
      policyRevision: "",
    });
    expect(overrides.get(flaky)?.problems[0]).toContain("retry.max_attempts");
    expect(overrides.get(flaky)?.effectivePolicy?.retry?.maxAttempts).toBe(4);
    expect(overrides.get(name("Once"))?.problems[0]).toContain("fallbacks[0]");
    expect(overrides.get(name("Limited"))).toMatchObject({
      problems: [],
      effectivePolicy: { concurrency: { limit: 4, queueLimit: 2 } },
    });
    const warned = log.entries.filter(({ level }) => level === "warn").map(({ fields }) => fields["workflow"]);
    expect(warned.sort()).toEqual([flaky, name("Once"), "gone.v1.Gone/Gone"].sort());

    await harness.admin.setPolicyOverride({ workflow: flaky, policy: { retry: { maxAttempts: 100 } } });
    await harness.admin.deletePolicyOverride({ workflow: "gone.v1.Gone/Gone" });
    expect((await overridesOf(harness)).filter(({ problems }) => problems.length > 0)).toHaveLength(1);
  });

  it("comes into force when what stood in its way is gone", async () => {
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    const stored = (fallback: string) =>
      toBinary(
        PolicyOverrideEventSchema,
        create(PolicyOverrideEventSchema, { event: { case: "set", value: { policy: { fallbacks: [fallback] } } } }),
      );
    await storage.journal.append([
      { stream: `policy/${name("Hurried")}`, expectedSequence: 0, records: [stored(name("Plain"))] },
      { stream: `policy/${name("Plain")}`, expectedSequence: 0, records: [stored(name("Hurried"))] },
    ]);
    const harness = await start({}, { clock, storage });
    const problems = async () => (await overridesOf(harness)).map((each) => each.problems.length);
    expect(await problems()).toEqual([0, 1]);
    await harness.admin.deletePolicyOverride({ workflow: name("Hurried") });
    expect(await problems()).toEqual([0]);
  });

  it("is not set when it cannot be stored", async () => {
    const clock = createVirtualClock();
    const storage = createMemoryStorage({ clock });
    let failing = false;
    const harness = await start(
      {},
      {
        clock,
        storage: {
          ...storage,
          journal: new Proxy(storage.journal, {
            get: (journal, key) => {
              if (failing && key === "append") return () => Promise.reject(new JournalUnavailableError("full"));
              const value = Reflect.get(journal, key) as unknown;
              return typeof value === "function" ? value.bind(journal) : value;
            },
          }),
        },
      },
    );
    failing = true;
    await rejection(harness.admin.setPolicyOverride({ workflow: flaky, policy: limitOf(1) }), Code.Unavailable);
    expect(await overridesOf(harness)).toEqual([]);
    failing = false;
    await harness.admin.setPolicyOverride({ workflow: flaky, policy: limitOf(1) });
    failing = true;
    await rejection(harness.admin.deletePolicyOverride({ workflow: flaky }), Code.Unavailable);
    expect((await overridesOf(harness))[0]?.effectivePolicy?.concurrency?.limit).toBe(1);
    failing = false;
  });

  it("is not lost in a reload at the same time", async () => {
    const harness = await start();
    const config = { grpc: { disabled: true }, web: { disabled: true } } as const;
    const reloads = [1, 2, 3].map((limit) =>
      harness.server.reload({ ...config, workflows: { [flaky]: limitOf(limit) } }),
    );
    await Promise.all([
      ...reloads,
      harness.admin.setPolicyOverride({ workflow: flaky, policy: { retry: { maxAttempts: 9 } } }),
      harness.admin.setPolicyOverride({ workflow: name("Plain"), policy: limitOf(5) }),
    ]);
    expect((await overridesOf(harness)).map(({ effectivePolicy }) => effectivePolicy)).toMatchObject([
      { retry: { maxAttempts: 9 }, concurrency: { limit: 3 } },
      { concurrency: { limit: 5 } },
    ]);
  });

  it("is listed page by page, or alone", async () => {
    const harness = await start();
    const methods = ["Flaky", "Hurried", "Keyed", "Plain"];
    for (const method of [...methods].reverse()) {
      await harness.admin.setPolicyOverride({ workflow: name(method), policy: limitOf(2) });
    }
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await harness.admin.listPolicyOverrides({ pageSize: 3, pageToken });
      seen.push(...page.overrides.map(({ workflow }) => workflow));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual(methods.map(name));
    const { overrides } = await harness.admin.listPolicyOverrides({ workflow: name("Keyed") });
    expect(overrides.map(({ workflow }) => workflow)).toEqual([name("Keyed")]);
    await rejection(harness.admin.listPolicyOverrides({ pageToken: "nonsense" }), Code.InvalidArgument);
  });
});
