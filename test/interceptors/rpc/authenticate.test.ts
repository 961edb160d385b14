import { setImmediate } from "node:timers/promises";
import { Code, type ConnectError, createClient, createRouterTransport, type Transport } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { Health } from "../../../gen/grpc/health/v1/health_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { authenticate } from "../../../src/interceptors/rpc/authenticate.ts";
import { createError, msFromDuration } from "../../../src/runs/index.ts";
import { CredentialsError } from "../../../src/security/credentials-error.ts";
import {
  type AuditEvent,
  type Authenticator,
  anonymous,
  inProcess,
  Lockout,
  noAudit,
  notAccepted,
  type Principal,
  principalKey,
} from "../../../src/security/index.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";
import { type Peer, peerKey } from "../../../src/transport/index.ts";

const ana: Principal = { ...anonymous, subject: "ana", level: AccessLevel.ADMIN, authentication: "api_key" };

/** Knows "right" at once and "token" in a while; refuses what begins with "wrong". */
const known: Authenticator = {
  authenticate({ apiKey, bearer, lockedOut }) {
    const text = apiKey ?? bearer ?? "";
    if (text === "right") return ana;
    if (text === "token") {
      if (lockedOut) throw notAccepted();
      return Promise.resolve({ ...ana, authentication: "jwt" });
    }
    if (text.startsWith("signed ")) throw new CredentialsError("TOKEN_EXPIRED", "expired", { proven: text.slice(7) });
    if (text.startsWith("wrong ")) throw notAccepted(text.slice(6));
    if (text.startsWith("wrong")) throw notAccepted();
    if (text === "late") return Promise.reject(notAccepted());
    return undefined;
  },
};

function start(authenticators: readonly Authenticator[] = [known]) {
  const clock = createVirtualClock();
  const lockout = new Lockout({
    settings: { threshold: 3, windowMs: 60_000, initialDelayMs: 100, maxLockoutMs: 10_000 },
    clock,
  });
  const events: AuditEvent[] = [];
  const interceptor = authenticate({
    authenticators,
    anonymous,
    lockout,
    audit: { ...noAudit, record: (event) => events.push(event) },
  });
  let peer: Peer = { address: "203.0.113.1:1", certificate: undefined };
  const seen: Principal[] = [];
  const transport: Transport = createRouterTransport(
    ({ service }) =>
      service(Health, {
        check(_, { values }) {
          seen.push(values.get(principalKey));
          return {};
        },
      }),
    {
      router: {
        interceptors: [
          (next) => (request) => {
            request.contextValues.set(peerKey, peer);
            return next(request);
          },
          interceptor,
        ],
      },
    },
  );
  const health = createClient(Health, transport);
  const from = (address: string, more: Partial<Peer> = {}) => {
    peer = { address, certificate: undefined, ...more };
  };
  /** Who the call is taken for, or why it is refused, and after how long. */
  const call = async (headers: Record<string, string> = {}): Promise<string> => {
    const startMs = clock.now();
    const answered = health.check({}, { headers }).then(
      () => `${seen.at(-1)?.subject} by ${seen.at(-1)?.authentication}`,
      (error: ConnectError) => {
        const [info] = error.findDetails(ErrorInfoSchema);
        const [retry] = error.findDetails(RetryInfoSchema);
        const wait = retry === undefined ? "" : `, again in ${msFromDuration(retry.retryDelay)} ms`;
        return `${Code[error.code]} ${info?.reason}${wait}`;
      },
    );
    const result = await Promise.race([answered, clock.advance(0).then(() => undefined)]);
    if (result !== undefined) return result;
    await clock.runUntilIdle();
    return `${await answered} after ${clock.now() - startMs} ms`;
  };
  const bearer = (token: string) => call({ authorization: `Bearer ${token}` });
  return { clock, call, bearer, from, events };
}

const refused = "Unauthenticated CREDENTIALS_REFUSED";

describe("authentication of calls", () => {
  it("knows callers by either header, and those without by where they come from", async () => {
    const { call, bearer, from } = start();
    expect(await bearer("right")).toBe("ana by api_key");
    expect(await call({ authorization: "bearer   right" })).toBe("ana by api_key");
    expect(await call({ "x-api-key": "right" })).toBe("ana by api_key");
    expect(await bearer("token")).toBe("ana by jwt");
    expect(await call()).toBe("anonymous by none");
    from("in-process", { inProcess: true });
    expect(await call()).toBe(`${inProcess.subject} by in_process`);
    expect(await bearer("right")).toBe("ana by api_key");
  });

  it("takes both headers where they say the same, and refuses them where they do not", async () => {
    const { call } = start();
    expect(await call({ authorization: "Bearer right", "x-api-key": "right" })).toBe("ana by api_key");
    for (const headers of [
      { authorization: "Bearer right", "x-api-key": "wrong" },
      { authorization: "Bearer token", "x-api-key": "right" },
    ]) {
      expect(await call(headers)).toContain("Unauthenticated CREDENTIALS_AMBIGUOUS");
    }
  });

  it.each([
    { authorization: "Basic YW5hOnB3" },
    { authorization: "right" },
    { authorization: "" },
    { authorization: "Bearer" },
    { "x-api-key": "" },
    { "x-api-key": "nobody's" },
  ])("refuses %j, which nobody knows, instead of taking it for no credentials", async (headers) => {
    expect(await start().call(headers)).toContain("Unauthenticated CREDENTIALS_UNKNOWN");
    expect(await start([]).call(headers)).toContain("Unauthenticated CREDENTIALS_UNKNOWN");
  });

  it("asks in order: what a later one says counts only when the one before has not known", async () => {
    const later = (authenticate: Authenticator["authenticate"]) => ({ authenticate: vi.fn(authenticate) });
    const refusing = later(() => Promise.reject(notAccepted()));
    const knowing = later(() => Promise.resolve({ ...ana, subject: "first" }));
    const unsure = later(() => Promise.resolve(undefined));
    const throwing = later(() => {
      throw notAccepted();
    });
    const unhandled = vi.fn();
    process.on("unhandledRejection", unhandled);
    onTestFinished(() => void process.off("unhandledRejection", unhandled));
    expect(await start([refusing, known]).bearer("right")).toContain(refused);
    expect(await start([refusing, throwing]).bearer("right")).toContain(refused);
    expect(await start([knowing, throwing]).bearer("right")).toBe("first by api_key");
    expect(throwing.authenticate).not.toHaveBeenCalled();
    expect(await start([unsure, known]).bearer("right")).toBe("ana by api_key");
    expect(await start([unsure, throwing]).bearer("right")).toContain(refused);
    expect(await start([unsure]).bearer("right")).toContain("CREDENTIALS_UNKNOWN");
    await setImmediate();
    expect(unhandled).not.toHaveBeenCalled();
  });

  it("passes on errors that are not about credentials as they are", async () => {
    const failing: Authenticator = {
      authenticate: () => Promise.reject(createError(Code.Unavailable, "ISSUER_AWAY", "the issuer is away")),
    };
    const { bearer, events } = start([failing]);
    expect(await bearer("token")).toBe("Unavailable ISSUER_AWAY");
    expect(events).toEqual([]);
  });
});

describe("callers with wrong credentials", () => {
  it("wait twice as long for each refusal, then are locked out, and are told for how long", async () => {
    const { clock, bearer } = start();
    expect(await bearer("wrong")).toBe(`${refused} after 100 ms`);
    expect(await bearer("late")).toBe(`${refused} after 200 ms`);
    expect(await bearer("wrong")).toBe("ResourceExhausted LOCKED_OUT, again in 400 ms");
    await clock.advance(150);
    expect(await bearer("wrong")).toBe("ResourceExhausted LOCKED_OUT, again in 250 ms");
    await clock.advance(250);
    expect(await bearer("wrong")).toBe("ResourceExhausted LOCKED_OUT, again in 800 ms");
  });

  it("lock out neither those with right keys nor those without any behind the same address", async () => {
    const { clock, call, bearer, from } = start();
    for (let n = 0; n < 50; n++) {
      from(`203.0.113.1:${n}`);
      await bearer(n % 2 === 0 ? "wrong" : "other");
    }
    from("203.0.113.1:999");
    expect(await bearer("wrong")).toContain("LOCKED_OUT");
    expect(await bearer("right")).toBe("ana by api_key");
    expect(await call()).toBe("anonymous by none");
    // What costs more than a hash to check waits for the end of the lock-out, which refusals do not put off.
    expect(await bearer("token")).toContain("LOCKED_OUT");
    from("203.0.113.2:1");
    expect(await bearer("token")).toBe("ana by jwt");
    from("203.0.113.1:999");
    await clock.advance(10_000);
    expect(await bearer("token")).toBe("ana by jwt");
  });

  it("cannot lock out whoever has the key that they claim, wherever they come from", async () => {
    const { bearer, from } = start();
    for (let n = 0; n < 3; n++) {
      from(`198.51.100.${n}:1`);
      await bearer("wrong k-1");
    }
    from("198.51.100.77:1");
    expect(await bearer("wrong k-1")).toContain("LOCKED_OUT");
    expect(await bearer("right")).toBe("ana by api_key");
  });

  it("lock the subject that they prove, from wherever they come, and still tell its clients to get another token", async () => {
    const { bearer, from, events } = start();
    for (let n = 0; n < 29; n++) {
      from(`10.0.${n}.1:1`);
      expect(await bearer("signed ana")).toContain("Unauthenticated TOKEN_EXPIRED");
    }
    from("10.0.29.1:1");
    expect(await bearer("signed ana")).toBe("Unauthenticated TOKEN_EXPIRED after 100 ms");
    expect(events.at(-1)).toMatchObject({
      action: "auth.locked_out",
      details: { proven_subject: "ana", locked: "subject ana" },
    });
    // Who goes on is slowed down and locked out as an address, and nothing more is on record but that.
    expect(await bearer("signed ana")).toBe("Unauthenticated TOKEN_EXPIRED after 200 ms");
    expect(events).toHaveLength(30);
    expect(await bearer("signed ana")).toBe("ResourceExhausted LOCKED_OUT, again in 400 ms");
    expect(events.at(-1)).toMatchObject({ action: "auth.locked_out", details: { locked: "10.0.29.1" } });
    from("10.0.31.1:1");
    expect(await bearer("right")).toBe("ana by api_key");
    expect(await bearer("token")).toBe("ana by jwt");
    // By an unproven name nobody is counted but the address.
    from("10.0.30.1:1");
    expect(await bearer("signed bob")).toContain("Unauthenticated TOKEN_EXPIRED");
  });

  it("are counted by /64, and not at all within this process", async () => {
    const { bearer, from } = start();
    for (let n = 0; n < 3; n++) {
      from(`[2001:db8::${n}]:1`);
      await bearer("wrong");
    }
    from("[2001:db8::ffff:1]:1");
    expect(await bearer("wrong")).toContain("LOCKED_OUT");
    from("in-process", { inProcess: true });
    for (let n = 0; n < 9; n++) expect(await bearer("wrong")).toBe(refused);
  });

  it("are on record: each failure, and the lock-outs, but not each refusal in one", async () => {
    const { clock, bearer, events } = start();
    for (let n = 0; n < 20; n++) await bearer("wrong k-1");
    const common = { outcome: "denied", resource: "grpc.health.v1.Health/Check", source: "203.0.113.1:1" };
    expect(events).toMatchObject([
      { ...common, action: "auth.failed", reason: "CREDENTIALS_REFUSED", details: { key_id: "k-1" } },
      { ...common, action: "auth.failed" },
      { ...common, action: "auth.locked_out", details: { key_id: "k-1", for_ms: "400" } },
    ]);
    expect(events).toHaveLength(3);
    await clock.advance(400);
    await bearer("wrong k-1");
    expect(events.at(-1)).toMatchObject({ action: "auth.locked_out", details: { refused_before: "17" } });
    expect(JSON.stringify(events)).not.toContain("wrong");
  });
});
