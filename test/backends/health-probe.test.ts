import { Code, ConnectError, createServiceImplSpec, type ServiceImpl } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../gen/grpc/health/v1/health_pb.js";
import { type EndpointHealth, HealthProbe } from "../../src/backends/health-probe.ts";
import { createVirtualClock } from "../../src/testing/index.ts";
import { createInProcessTransport } from "../../src/transport/index.ts";

/** A probe of a server that answers as it is told. */
function probeOf(check: NonNullable<ServiceImpl<typeof Health>["check"]>, service = "", isDown = false) {
  const clock = createVirtualClock();
  const seen: { health: EndpointHealth; atMs: number }[] = [];
  let asked = 0;
  const startMs = clock.monotonic();
  const implementation: Partial<ServiceImpl<typeof Health>> = {
    check: (request, context) => {
      asked += 1;
      return check(request, context);
    },
  };
  const transport = createInProcessTransport([createServiceImplSpec(Health, implementation)], { clock });
  const probe = new HealthProbe({
    transport,
    isDown: () => isDown,
    service,
    intervalMs: 5000,
    timeoutMs: 3000,
    clock,
    onChange: (health) => seen.push({ health, atMs: clock.monotonic() - startMs }),
  });
  return { clock, probe, seen, asked: () => asked };
}

const fail = (code: Code) => () => {
  throw new ConnectError("no", code);
};

describe("a health probe", () => {
  it("knows nothing before its first answer", async () => {
    const { clock, probe } = probeOf(() => ({ status: ServingStatus.SERVING }));
    expect(probe.health).toEqual({ kind: "unknown" });
    probe.probe();
    await clock.advance(1);
    expect(probe.health).toEqual({ kind: "healthy" });
  });

  it.each([
    ["says SERVING", () => ({ status: ServingStatus.SERVING }), ""],
    ["has no health service", fail(Code.Unimplemented), ""],
    ["does not know how it is as a whole", fail(Code.NotFound), ""],
    ["does not tell us", fail(Code.Unauthenticated), "film"],
    ["does not allow us to ask", fail(Code.PermissionDenied), "film"],
  ])("takes a server for healthy that %s", async (_, check, service) => {
    const { clock, probe } = probeOf(check, service);
    probe.probe();
    await clock.advance(1);
    expect(probe.health).toEqual({ kind: "healthy" });
  });

  it.each([
    ["says NOT_SERVING", () => ({ status: ServingStatus.NOT_SERVING }), /NOT_SERVING/],
    ["does not know the service that it is asked for", fail(Code.NotFound), /no/],
    ["cannot be reached", fail(Code.Unavailable), /no/],
    ["fails", fail(Code.Internal), /no/],
    ["does not answer", () => new Promise<never>(() => undefined), /has not answered within 3000 ms/],
  ])("takes a server for unhealthy that %s", async (_, check, why) => {
    const { clock, probe } = probeOf(check, "film");
    probe.probe();
    await clock.advance(3000);
    expect(probe.health).toMatchObject({ kind: "unhealthy", why: expect.stringMatching(why) });
  });

  it("asks again now and then, more often while it is unhealthy, and tells each change once", async () => {
    let status = ServingStatus.SERVING;
    const { clock, probe, seen, asked } = probeOf(() => ({ status }));
    probe.probe();
    await clock.advance(4999);
    expect(asked()).toBe(1);
    status = ServingStatus.NOT_SERVING;
    await clock.advance(1);
    expect(probe.health.kind).toBe("unhealthy");
    await clock.advance(2999);
    status = ServingStatus.SERVING;
    await clock.advance(1);
    expect(seen.map(({ health, atMs }) => [health.kind, atMs])).toEqual([
      ["healthy", 0],
      ["unhealthy", 5000],
      ["healthy", 8000],
    ]);
  });

  it("finds healthy what has one server that is, among those behind its name", async () => {
    let turn = 0;
    const { clock, probe, seen, asked } = probeOf(() => ({
      status: turn++ % 2 === 0 ? ServingStatus.NOT_SERVING : ServingStatus.SERVING,
    }));
    probe.probe();
    await clock.advance(20_000);
    expect(seen.map(({ health }) => health.kind)).toEqual(["healthy"]);
    expect(asked()).toBe(10);
  });

  it("asks nobody else where there is no connection", async () => {
    const { clock, probe, asked } = probeOf(fail(Code.Unavailable), "", true);
    probe.probe();
    await clock.advance(1);
    expect(probe.health).toMatchObject({ kind: "unhealthy", why: expect.stringMatching(/no/) });
    expect(asked()).toBe(1);
  });

  it("asks at once when there is a reason to, and once more when there was one meanwhile", async () => {
    const answers: ((value: { status: ServingStatus }) => void)[] = [];
    const { clock, probe, asked } = probeOf(() => new Promise((resolve) => answers.push(resolve)));
    probe.probe();
    await clock.advance(0);
    for (let i = 0; i < 5; i++) probe.probe();
    expect(asked()).toBe(1);
    answers.pop()?.({ status: ServingStatus.SERVING });
    await clock.advance(1);
    expect(asked()).toBe(2);
    answers.pop()?.({ status: ServingStatus.SERVING });
    await clock.advance(1);
    probe.probe();
    await clock.advance(0);
    expect(asked()).toBe(3);
  });

  it("says nothing after it was stopped", async () => {
    const { clock, probe, seen, asked } = probeOf(() => new Promise<never>(() => undefined));
    probe.probe();
    await clock.advance(10);
    probe.stop();
    await clock.advance(60_000);
    probe.probe();
    await clock.advance(60_000);
    expect(seen).toEqual([]);
    expect(asked()).toBe(1);
  });
});
