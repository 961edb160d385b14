import { setImmediate } from "node:timers/promises";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { createHealth, overallHealth, ServingStatus } from "../../src/server/health.ts";

function started() {
  const health = createHealth();
  const transport = createRouterTransport((router) => router.service(Health, health.service));
  return { health, client: createClient(Health, transport) };
}

/** Collects what a watcher sees until it leaves. */
function watch(client: ReturnType<typeof started>["client"], service: string) {
  const seen: string[] = [];
  const leave = new AbortController();
  const ended = (async () => {
    for await (const { status } of client.watch({ service }, { signal: leave.signal })) {
      seen.push(ServingStatus[status]);
    }
  })().catch((error: unknown) => ConnectError.from(error).code);
  return { seen, ended, leave: () => leave.abort() };
}

/** Lets everything run that is due, many times over. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
}

describe("health", () => {
  it("starts with the server as a whole not serving", async () => {
    const { client } = started();
    expect((await client.check({})).status).toBe(ServingStatus.NOT_SERVING);
  });

  it("tells the state of the server and of each service", async () => {
    const { client, health } = started();
    health.set(overallHealth, ServingStatus.SERVING);
    health.set("a.B", ServingStatus.SERVING);
    health.set("a.C", ServingStatus.NOT_SERVING);
    expect((await client.check({})).status).toBe(ServingStatus.SERVING);
    expect((await client.check({ service: "a.C" })).status).toBe(ServingStatus.NOT_SERVING);
    const { statuses } = await client.list({});
    expect(Object.entries(statuses).map(([name, { status }]) => [name, ServingStatus[status]])).toEqual([
      ["", "SERVING"],
      ["a.B", "SERVING"],
      ["a.C", "NOT_SERVING"],
    ]);
  });

  it.each(["nobody", "__proto__", "toString"])("does not know the service %s", async (service) => {
    const { client } = started();
    const error = await client.check({ service }).catch(ConnectError.from);
    expect(error).toMatchObject({ code: Code.NotFound, rawMessage: `this server has no service "${service}"` });
  });

  it("streams the state and each change of it, and nothing in between", async () => {
    const { client, health } = started();
    const { seen, leave, ended } = watch(client, "a.B");
    await settled();
    health.set("a.B", ServingStatus.SERVING);
    await settled();
    health.set("a.B", ServingStatus.SERVING);
    health.set("a.C", ServingStatus.NOT_SERVING);
    await settled();
    health.set("a.B", ServingStatus.NOT_SERVING);
    await settled();
    health.remove("a.B");
    await settled();
    expect(seen).toEqual(["SERVICE_UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]);
    leave();
    expect(await ended).toBe(Code.Canceled);
  });

  it("spares a watcher the states that were over before it could read them", async () => {
    const { client, health } = started();
    health.set("a.B", ServingStatus.SERVING);
    const { seen, leave, ended } = watch(client, "a.B");
    await settled();
    health.set("a.B", ServingStatus.NOT_SERVING);
    health.set("a.B", ServingStatus.SERVING);
    await settled();
    health.set("a.B", ServingStatus.SERVING);
    health.set("a.B", ServingStatus.NOT_SERVING);
    await settled();
    expect(seen).toEqual(["SERVING", "NOT_SERVING"]);
    leave();
    await ended;
  });

  it("turns everything to not serving on shutdown, for good, and leaves its watchers connected", async () => {
    const { client, health } = started();
    health.set(overallHealth, ServingStatus.SERVING);
    health.set("a.B", ServingStatus.SERVING);
    const watchers = ["", "a.B", "a.X"].map((service) => watch(client, service));
    await settled();
    health.shutdown();
    health.set("a.B", ServingStatus.SERVING);
    health.set("a.X", ServingStatus.SERVING);
    await settled();
    expect(watchers.map(({ seen }) => seen)).toEqual([
      ["SERVING", "NOT_SERVING"],
      ["SERVING", "NOT_SERVING"],
      ["SERVICE_UNKNOWN"],
    ]);
    for (const watcher of watchers) watcher.leave();
    expect(await Promise.all(watchers.map(({ ended }) => ended))).toEqual([
      Code.Canceled,
      Code.Canceled,
      Code.Canceled,
    ]);
  });

  it("drops its listeners when watchers leave", async () => {
    const health = createHealth();
    const left = new AbortController();
    const listeners = { added: 0, removed: 0 };
    const { signal } = left;
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    signal.addEventListener = ((...args: Parameters<typeof add>) => {
      listeners.added += 1;
      add(...args);
    }) as typeof signal.addEventListener;
    signal.removeEventListener = ((...args: Parameters<typeof remove>) => {
      listeners.removed += 1;
      remove(...args);
    }) as typeof signal.removeEventListener;
    const stream = health.service.watch({ service: "" } as never, { signal } as never) as AsyncGenerator<unknown>;
    await stream.next();
    const changed = stream.next();
    health.set(overallHealth, ServingStatus.SERVING);
    await changed;
    const last = stream.next();
    left.abort();
    expect(await last).toEqual({ done: true, value: undefined });
    expect(listeners).toEqual({ added: 2, removed: 2 });
    expect((await stream.next()).done).toBe(true);
  });
});
