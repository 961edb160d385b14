import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { QuotaFailureSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { Health } from "../../../gen/grpc/health/v1/health_pb.js";
import { ServerConfigSchema } from "../../../gen/retake/v1/config_pb.js";
import { AccessLevel, WorkflowPolicySchema } from "../../../gen/retake/v1/options_pb.js";
import { RateLimitScope } from "../../../gen/retake/v1/rate_limit_config_pb.js";
import { RunService } from "../../../gen/retake/v1/run_service_pb.js";
import { resolveConfig } from "../../../src/config/index.ts";
import { createContractRegistry } from "../../../src/contract/index.ts";
import { createRequestValidator } from "../../../src/interceptors/rpc/validate.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { AccessControl, CallLimits, noAudit, type Principal } from "../../../src/security/index.ts";
import { rpcInterceptors } from "../../../src/server/rpc-interceptors.ts";
import { createSeededRandom, createVirtualClock } from "../../../src/testing/index.ts";
import { peerKey } from "../../../src/transport/index.ts";
import { WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";

const { PRINCIPAL, SOURCE, WORKFLOW } = RateLimitScope;

type Rule = Partial<{
  scope: RateLimitScope[];
  limit: number;
  burst: number;
  levels: AccessLevel[];
  workflows: string[];
}>;

const ada: Principal = {
  tenant: "default",
  subject: "ada",
  level: AccessLevel.AUTHENTICATED,
  groups: [],
  authentication: "api_key",
};

const open = create(WorkflowPolicySchema, { access: { min: AccessLevel.PUBLIC } });

/** Clients behind the interceptors of a server, whose calls come from where the test says. */
function withLimits(...rules: Rule[]) {
  const clock = createVirtualClock();
  const contracts = createContractRegistry({
    services: [WorkflowsService],
    ownServices: [RunService, Health],
    overrides: Object.fromEntries(["Plain", "Streaming"].map((name) => [`${WorkflowsService.typeName}/${name}`, open])),
  });
  const config = resolveConfig(
    create(ServerConfigSchema, {
      security: { rateLimits: rules.map((rule) => ({ scope: [SOURCE], limit: 1, ...rule })) },
    }),
  );
  const from: { address: string; inProcess?: true } = { address: "10.0.0.1:1000" };
  const asked: string[] = [];
  const peer: Interceptor = (next) => (request) => {
    request.contextValues.set(peerKey, { certificate: undefined, ...from });
    return next(request);
  };
  const interceptors = rpcInterceptors({
    config,
    contracts,
    authenticators: [
      {
        authenticate: ({ apiKey }) => {
          asked.push(apiKey ?? "");
          if (apiKey === undefined) return undefined;
          if (apiKey === "wrong") throw new ConnectError("wrong key", Code.Unauthenticated);
          return { ...ada, subject: apiKey, level: apiKey === "root" ? AccessLevel.ADMIN : ada.level };
        },
      },
    ],
    audit: noAudit,
    access: new AccessControl({ contracts, clock, log: silentLogger }),
    limits: new CallLimits(config.security.rateLimits, clock),
    validator: createRequestValidator(contracts),
    clock,
    random: createSeededRandom(1),
    log: silentLogger,
  });
  const transport = createRouterTransport(
    ({ service }) => {
      service(WorkflowsService, { plain: () => ({}), async *streaming() {} });
      service(RunService, { startRun: () => ({}), getRun: () => ({}) });
      service(Health, { check: () => ({}) });
    },
    { router: { interceptors: [peer, ...interceptors] } },
  );
  const workflows = createClient(WorkflowsService, transport);
  const runs = createClient(RunService, transport);
  const outcome = async (call: Promise<unknown>): Promise<string> =>
    call.then(
      () => "ok",
      (error: unknown) => Code[ConnectError.from(error).code] ?? "",
    );
  const plain = (key?: string) => workflows.plain({}, { headers: key === undefined ? {} : { "x-api-key": key } });
  return {
    clock,
    from,
    asked,
    workflows,
    runs,
    health: createClient(Health, transport),
    plain,
    outcome,
    outcomes: async (...calls: (() => Promise<unknown>)[]): Promise<string[]> => {
      const all: string[] = [];
      for (const each of calls) all.push(await outcome(each()));
      return all;
    },
  };
}

describe("rate limits", () => {
  it("refuse what is too much, and say which limit and how long", async () => {
    const { clock, plain, outcome } = withLimits({ scope: [PRINCIPAL], limit: 2, burst: 1 });
    await plain("ada");
    const error = ConnectError.from(await plain("ada").catch((thrown: unknown) => thrown));
    expect(error.code).toBe(Code.ResourceExhausted);
    expect(error.findDetails(RetryInfoSchema)[0]?.retryDelay).toMatchObject({ seconds: 0n, nanos: 500_000_000 });
    expect(error.findDetails(QuotaFailureSchema)[0]?.violations).toMatchObject([
      { subject: "principal:default/ada", description: "2 calls in 1 s, 1 at once (security.rate_limits[0])" },
    ]);
    await clock.advance(499);
    expect(await outcome(plain("ada"))).toBe("ResourceExhausted");
    await clock.advance(1);
    expect(await outcome(plain("ada"))).toBe("ok");
  });

  it("count each caller for each workflow where they are told to", async () => {
    const test = withLimits({ scope: [PRINCIPAL, WORKFLOW] });
    const { plain, runs, outcomes } = test;
    expect(
      await outcomes(
        () => plain("ada"),
        () => plain("bob"),
        () => runs.getRun({ runId: "00000000-0000-4000-8000-000000000000" }, { headers: { "x-api-key": "ada" } }),
        () => plain("ada"),
      ),
    ).toEqual(["ok", "ok", "ok", "ResourceExhausted"]);
  });

  it("tell sources apart by address, without the port", async () => {
    const { plain, from, outcomes, outcome } = withLimits({ scope: [SOURCE] });
    expect(await outcomes(plain, plain)).toEqual(["ok", "ResourceExhausted"]);
    from.address = "10.0.0.1:2000";
    expect(await outcome(plain())).toBe("ResourceExhausted");
    from.address = "10.0.0.2:1000";
    expect(await outcome(plain())).toBe("ok");
  });

  it("of sources count wrong credentials, and spare looking at them", async () => {
    const { plain, asked, outcomes } = withLimits({ scope: [SOURCE], limit: 2 });
    const wrong = () => plain("wrong");
    expect(await outcomes(wrong, wrong, wrong, () => plain("ada"))).toEqual([
      "Unauthenticated",
      "Unauthenticated",
      "ResourceExhausted",
      "ResourceExhausted",
    ]);
    expect(asked).toEqual(["wrong", "wrong"]);
  });

  it("are for the levels and workflows that they name", async () => {
    const levels = withLimits({ scope: [SOURCE], levels: [AccessLevel.AUTHENTICATED] });
    const root = () => levels.plain("root");
    const user = () => levels.plain("ada");
    expect(await levels.outcomes(root, root, user, user)).toEqual(["ok", "ok", "ok", "ResourceExhausted"]);

    const named = withLimits({ workflows: ["retake.test.v1.WorkflowsService/Plain"] });
    const get = () => named.runs.getRun({ runId: "00000000-0000-4000-8000-000000000000" });
    expect(await named.outcomes(get, get, named.plain, named.plain)).toEqual(["ok", "ok", "ok", "ResourceExhausted"]);

    const service = withLimits({ workflows: ["retake.test.v1.WorkflowsService/*"] });
    const run = () => service.runs.getRun({ runId: "00000000-0000-4000-8000-000000000000" });
    expect(await service.outcomes(run, run, service.plain, service.plain)).toEqual([
      "ok",
      "ok",
      "ok",
      "ResourceExhausted",
    ]);
  });

  it("of a workflow hold for StartRun too, and made-up names do not get around them", async () => {
    const { plain, runs, outcomes } = withLimits({ scope: [SOURCE, WORKFLOW] });
    const start = (workflow: string) => () => runs.startRun({ workflow });
    expect(
      await outcomes(plain, start("retake.test.v1.WorkflowsService/Plain"), start("a.B/C"), start("a.B/D")),
    ).toEqual(["ok", "ResourceExhausted", "ok", "ResourceExhausted"]);
  });

  it("count a call nowhere when one of them refuses it", async () => {
    const { clock, plain, outcomes, outcome } = withLimits(
      { scope: [PRINCIPAL], limit: 10, burst: 1 },
      { scope: [PRINCIPAL], limit: 1, burst: 2 },
    );
    const user = () => plain("ada");
    expect(await outcomes(user, user, user)).toEqual(["ok", "ResourceExhausted", "ResourceExhausted"]);
    await clock.advance(100);
    expect(await outcome(user())).toBe("ok");
  });

  it("count a stream once, health checks and calls within the process never", async () => {
    const { workflows, health, plain, from, outcomes } = withLimits({ scope: [SOURCE] });
    const stream = async () => {
      for await (const _ of workflows.streaming({}));
    };
    const check = () => health.check({});
    expect(await outcomes(check, check, stream, stream)).toEqual(["ok", "ok", "ok", "ResourceExhausted"]);
    from.inProcess = true;
    expect(await outcomes(plain, plain)).toEqual(["ok", "ok"]);
  });

  it("are no stage where there are none", () => {
    const config = resolveConfig(create(ServerConfigSchema));
    const contracts = createContractRegistry({ services: [WorkflowsService] });
    const stages = (rules = config.security.rateLimits) =>
      rpcInterceptors({
        config,
        limits: new CallLimits(rules, createVirtualClock()),
        contracts,
        authenticators: [],
        audit: noAudit,
        access: new AccessControl({ contracts, clock: createVirtualClock(), log: silentLogger }),
        validator: createRequestValidator(contracts),
        clock: createVirtualClock(),
        random: createSeededRandom(1),
        log: silentLogger,
      }).length;
    const rule = {
      field: "x",
      perPrincipal: true,
      perSource: false,
      perWorkflow: false,
      limit: 1,
      windowMs: 1,
      burst: 1,
    };
    expect(stages([rule])).toBe(stages() + 1);
  });
});
