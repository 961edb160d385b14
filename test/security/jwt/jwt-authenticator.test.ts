import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import * as jose from "jose";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { ResolvedJwt } from "../../../src/config/index.ts";
import { CredentialsError } from "../../../src/security/credentials-error.ts";
import type { Principal } from "../../../src/security/index.ts";
import { JwtAuthenticator } from "../../../src/security/jwt/jwt-authenticator.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";
import { recordingLogger } from "../../server/listening-server.ts";
import { createKey, type IssuerKey, sign } from "./issuer.ts";

const issuer = "https://login.example";
const jwksUrl = `${issuer}/keys`;

let first: IssuerKey;
let second: IssuerKey;
let rsa: IssuerKey;

beforeAll(async () => {
  [first, second, rsa] = await Promise.all([createKey(), createKey(), createKey("RS256")]);
});

/** An authenticator on virtual time, and an issuer whose keys the test has in hand. */
function withIssuer(settings: Partial<ResolvedJwt> = {}) {
  const clock = createVirtualClock();
  const log = recordingLogger();
  const served = { keys: [first.jwk], up: true, texts: new Map<string, string>(), fetched: [] as string[] };
  const authenticator = new JwtAuthenticator(
    [
      {
        field: "security.jwt[0]",
        issuer,
        audiences: ["retake", "retake-admin"],
        algorithms: ["ES256"],
        keys: { kind: "url", url: jwksUrl },
        cacheTimeMs: 600_000,
        fetchIntervalMs: 2000,
        fetchTimeoutMs: 5000,
        clockSkewMs: 30_000,
        identity: {},
        ...settings,
      },
    ],
    jose,
    {
      clock,
      log,
      fetch: async (url) => {
        served.fetched.push(url);
        if (!served.up) throw new Error("connection refused");
        return served.texts.get(url) ?? JSON.stringify({ keys: served.keys });
      },
    },
  );
  onTestFinished(() => authenticator.close());
  const authenticate = (bearer: string, lockedOut = false, source = "") =>
    authenticator.authenticate({ any: true, bearer, source, lockedOut });
  /** Lets what is verified by threads of Node settle, and virtual time pass. */
  const pass = async (ms: number): Promise<void> => {
    for (let turn = 0; turn < 5; turn++) await nextTurn();
    await clock.advance(ms);
    for (let turn = 0; turn < 5; turn++) await nextTurn();
  };
  return {
    clock,
    log,
    served,
    authenticator,
    authenticate,
    pass,
    token: (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}, key = first) =>
      sign({
        key,
        header,
        claims: { iss: issuer, aud: "retake", sub: "ada", exp: Math.floor(clock.now() / 1000) + 3600, ...claims },
      }),
    /** The subject behind a token, or why it is refused. */
    outcome: async (bearer: string): Promise<string> => {
      try {
        return (await authenticate(bearer))?.subject ?? "not a token";
      } catch (error) {
        return reasonOf(error);
      }
    },
  };
}

function reasonOf(error: unknown): string {
  expect(error).toBeInstanceOf(ConnectError);
  const { code, metadata } = error as ConnectError;
  const [info] = (error as ConnectError).findDetails(ErrorInfoSchema);
  if (code === Code.Unauthenticated) expect(metadata.get("www-authenticate")).toBe("Bearer");
  return `${Code[code]} ${info?.reason}`;
}

describe("a token", () => {
  it("tells who calls, by its claims", async () => {
    const test = withIssuer({
      identity: {
        subject: `claims["https://login.example/name"]`,
        tenant: "claims.org.id",
        level: `"admins" in claims.groups ? "ADMIN" : "AUTHENTICATED"`,
        groups: "claims.groups",
      },
    });
    const claims = { "https://login.example/name": "ada", org: { id: "studio" }, groups: ["admins", "video", "video"] };
    expect(await test.authenticate(await test.token(claims))).toEqual({
      subject: "ada",
      tenant: "studio",
      level: AccessLevel.ADMIN,
      groups: ["admins", "video"],
      authentication: "jwt",
      isCurrent: expect.any(Function),
    } satisfies Principal);
    expect(await test.authenticate(await test.token({ ...claims, groups: [] }))).toMatchObject({
      level: AccessLevel.AUTHENTICATED,
      groups: [],
    });
  });

  it("has sub for a subject and the level AUTHENTICATED where nothing else is said", async () => {
    const test = withIssuer();
    expect(await test.authenticate(await test.token())).toEqual({
      subject: "ada",
      tenant: "default",
      level: AccessLevel.AUTHENTICATED,
      groups: [],
      authentication: "jwt",
      isCurrent: expect.any(Function),
    });
  });

  it("is known at once the next time, until it expires", async () => {
    const test = withIssuer({ clockSkewMs: 0 });
    const token = await test.token();
    const known = await test.authenticate(token);
    expect(test.authenticate(`${token}`)).toBe(known);
    await test.pass(3600_000 - 1);
    expect(test.authenticate(token)).toBe(known);
    await test.pass(1);
    expect(await test.outcome(token)).toBe("Unauthenticated TOKEN_EXPIRED");
  });

  it.each<[string, Record<string, unknown>, string]>([
    ["expired", { exp: 1_600_000_000 }, "TOKEN_EXPIRED"],
    ["without exp", { exp: undefined }, "TOKEN_CLAIMS"],
    ["with an exp that is no number", { exp: "tomorrow" }, "TOKEN_CLAIMS"],
    ["not yet valid", { nbf: 4_000_000_000 }, "TOKEN_NOT_YET_VALID"],
    ["for somebody else", { aud: "another" }, "TOKEN_AUDIENCE"],
    ["for nobody", { aud: undefined }, "TOKEN_AUDIENCE"],
    ["without a subject", { sub: undefined }, "TOKEN_CLAIMS"],
    ["of another issuer", { iss: "https://evil.example" }, "TOKEN_ISSUER_UNKNOWN"],
    ["of an issuer that is almost right", { iss: "https://login.example/" }, "TOKEN_ISSUER_UNKNOWN"],
    ["of no issuer", { iss: undefined }, "TOKEN_ISSUER_UNKNOWN"],
    ["with a subject of nothing", { sub: "" }, "TOKEN_UNMAPPED"],
    ["with the subject of callers without credentials", { sub: "anonymous" }, "TOKEN_UNMAPPED"],
    ["with the subject of this process", { sub: "in-process" }, "TOKEN_UNMAPPED"],
    ["with a subject of control characters", { sub: "ada\n" }, "TOKEN_UNMAPPED"],
    ["with a subject that is too long", { sub: "a".repeat(256) }, "TOKEN_UNMAPPED"],
  ])("that is %s is refused", async (_, claims, reason) => {
    const { token, outcome } = withIssuer();
    expect(await outcome(await token(claims))).toBe(`Unauthenticated ${reason}`);
  });

  it("that is refused is its subject's failure only where its issuer has signed it", async () => {
    const { token, authenticate } = withIssuer({ identity: { level: "claims.role" }, type: "at+jwt" });
    const blamed = async (bearer: string) => {
      try {
        await authenticate(bearer);
      } catch (error) {
        return error instanceof CredentialsError ? error.blamed : error;
      }
      return "let in";
    };
    const sound = { role: "ADMIN" };
    const typed = { typ: "at+jwt" };
    const ada = { proven: `ada of ${issuer}` };
    expect(await blamed(await token(sound, typed))).toBe("let in");
    for (const claims of [{ exp: 1_600_000_000 }, { nbf: 4_000_000_000 }, { aud: "another" }, { role: "OWNER" }]) {
      expect(await blamed(await token({ ...sound, ...claims }, typed))).toEqual(ada);
    }
    expect(await blamed(await token(sound, { typ: "JWT" }))).toEqual(ada);

    const [header = "", , signature = ""] = (await token(sound, typed)).split(".");
    const [, others = ""] = (await token({ ...sound, exp: 1_600_000_000 }, typed)).split(".");
    const nobodys = [
      `${header}.${others}.${signature}`,
      await token({ exp: 1_600_000_000 }, { ...typed, kid: first.kid }, second),
      await token({ exp: 1_600_000_000, iss: "https://evil.example" }, typed),
      await token({ exp: 1_600_000_000, sub: undefined }, typed),
      await token({ exp: 1_600_000_000, sub: "ada\u202e" }, typed),
      await token({ exp: 1_600_000_000, sub: "a".repeat(256) }, typed),
    ];
    for (const bearer of nobodys) expect(await blamed(bearer)).toEqual({});
  });

  it("is verified for whoever is locked out, but not many that are new in a second, and each source by itself", async () => {
    const { authenticate, token, clock } = withIssuer();
    const known = await token();
    await authenticate(known);
    const from = (source: string, bearer: string) => authenticate(bearer, true, source);
    // Guesses, at once, of which only so many are looked at.
    const [forged, fresh] = [await token({}, {}, { ...second, kid: first.kid }), await token({ jti: "fresh" })];
    const guesses = Array.from({ length: 30 }, (_, at) => `${forged.slice(0, -4)}${String(1000 + at)}`);
    const answers = await Promise.allSettled(
      guesses.map((guess, at) => {
        try {
          return Promise.resolve(from(`203.0.113.1:${at}`, guess)).catch(() => Promise.reject("seen"));
        } catch {
          return "unseen";
        }
      }),
    );
    const seen = answers.filter(({ status }) => status === "rejected");
    expect(seen).toHaveLength(10);
    expect(() => from("203.0.113.1:9", fresh)).toThrow(/not accepted/);
    expect(await from("203.0.113.1:9", known)).toMatchObject({ authentication: "jwt" });
    await clock.advance(100);
    expect(await from("203.0.113.1:9", fresh)).toMatchObject({ authentication: "jwt" });
    expect(await from("203.0.113.2:1", await token({ jti: "elsewhere" }))).toMatchObject({ authentication: "jwt" });
  });

  it("for one of the audiences, among others, is taken", async () => {
    const { token, outcome } = withIssuer();
    expect(await outcome(await token({ aud: ["other", "retake-admin"] }))).toBe("ada");
  });

  it("is refused when another key has signed it, or nobody has, or it has been changed", async () => {
    const { token, outcome } = withIssuer();
    const [header = "", , signature = ""] = (await token()).split(".");
    const claims = (sub: string): string =>
      Buffer.from(JSON.stringify({ iss: issuer, aud: "retake", sub, exp: 4e9 })).toString("base64url");
    const withHeader = (fields: object): string => Buffer.from(JSON.stringify(fields)).toString("base64url");
    expect(await outcome(await token({}, { kid: first.kid }, second))).toBe("Unauthenticated TOKEN_SIGNATURE");
    expect(await outcome(`${header}.${claims("root")}.${signature}`)).toBe("Unauthenticated TOKEN_SIGNATURE");
    expect(await outcome(`${withHeader({ alg: "none" })}.${claims("root")}.`)).toBe("Unauthenticated TOKEN_ALGORITHM");
    expect(await outcome(`${header}.${claims("root")}.`)).toMatch(/^Unauthenticated TOKEN_/);
    // The oldest trick: the public key as the secret of an HMAC.
    const forged = `${withHeader({ alg: "HS256", kid: first.kid })}.${claims("root")}`;
    const mac = createHmac("sha256", JSON.stringify(first.jwk)).update(forged).digest("base64url");
    expect(await outcome(`${forged}.${mac}`)).toBe("Unauthenticated TOKEN_ALGORITHM");
  });

  it("is refused with an algorithm that the configuration does not name, though the issuer has the key", async () => {
    const test = withIssuer();
    test.served.keys = [first.jwk, rsa.jwk];
    expect(await test.outcome(await test.token({}, {}, rsa))).toBe("Unauthenticated TOKEN_ALGORITHM");
  });

  it("names no keys of its own, and asks for nothing that is not understood", async () => {
    const { token, outcome, served } = withIssuer();
    const own = { jku: "https://evil.example/keys", x5u: "https://evil.example/pem", jwk: second.jwk };
    expect(await outcome(await token({}, { ...own, kid: first.kid }, second))).toBe("Unauthenticated TOKEN_SIGNATURE");
    expect(await outcome(await token({}, own))).toBe("ada");
    expect(new Set(served.fetched)).toEqual(new Set([jwksUrl]));
    expect(await outcome(await token({}, { crit: ["urn:test"], "urn:test": true }))).toBe(
      "Unauthenticated TOKEN_INVALID",
    );
  });

  it("is of the type that is wanted, where one is", async () => {
    const { token, outcome } = withIssuer({ type: "at+jwt" });
    expect(await outcome(await token({}, { typ: "JWT" }))).toBe("Unauthenticated TOKEN_CLAIMS");
    expect(await outcome(await token())).toBe("Unauthenticated TOKEN_CLAIMS");
    expect(await outcome(await token({}, { typ: "at+jwt" }))).toBe("ada");
  });

  it("may be off by the skew of clocks, and no more", async () => {
    const { token, outcome, clock } = withIssuer({ clockSkewMs: 30_000 });
    const now = Math.floor(clock.now() / 1000);
    expect(await outcome(await token({ exp: now - 29, jti: "1" }))).toBe("ada");
    expect(await outcome(await token({ exp: now - 31 }))).toBe("Unauthenticated TOKEN_EXPIRED");
    expect(await outcome(await token({ nbf: now + 29 }))).toBe("ada");
    expect(await outcome(await token({ nbf: now + 31 }))).toBe("Unauthenticated TOKEN_NOT_YET_VALID");
  });

  it("is somebody else's when it does not look like one", async () => {
    const { outcome } = withIssuer();
    for (const other of ["rtk_abc", "", "a.b.c", "eyJhbGciOiJub25lIn0", `eyJ${"a".repeat(20_000)}.a.a`, "eyJ!.a.a"]) {
      expect(await outcome(other)).toBe("not a token");
    }
    expect(await outcome("eyJhbGciOiJub25lIn0.bm8gSlNPTg.x")).toBe("Unauthenticated TOKEN_ISSUER_UNKNOWN");
  });

  it("is refused when its claims have no identity, and the log says by which key of the configuration", async () => {
    const { token, outcome, log } = withIssuer({ identity: { level: "claims.role", groups: "claims.groups" } });
    expect(await outcome(await token({ groups: [] }))).toBe("Unauthenticated TOKEN_UNMAPPED");
    expect(await outcome(await token({ groups: [], role: "OWNER" }))).toBe("Unauthenticated TOKEN_UNMAPPED");
    expect(await outcome(await token({ role: "ADMIN", groups: [1] }))).toBe("Unauthenticated TOKEN_UNMAPPED");
    expect(await outcome(await token({ role: "ADMIN", groups: "video" }))).toBe("ada");
    const told = log.entries.map(({ fields }) => String(fields["err"]));
    expect(told).toEqual([
      expect.stringContaining("security.jwt[0].identity.level: "),
      expect.stringContaining("PUBLIC, AUTHENTICATED, PRIVILEGED, ADMIN"),
      expect.stringContaining("security.jwt[0].identity.groups: "),
    ]);
  });

  it("may have claims of any name", async () => {
    const { outcome, token } = withIssuer({ identity: { groups: "claims.nested.constructor" } });
    const nested = JSON.parse(`{"constructor": ["a"], "__proto__": {"x": 1}, "toString": null}`);
    expect(await outcome(await token({ nested, constructor: 1, hasOwnProperty: {} }))).toBe("ada");
  });

  it("without a key id is tried with each key that fits", async () => {
    const test = withIssuer();
    test.served.keys = [first.jwk, second.jwk];
    expect(await test.outcome(await test.token({}, { kid: undefined }, second))).toBe("ada");
    const third = await createKey();
    expect(await test.outcome(await test.token({}, { kid: undefined }, third))).toBe("Unauthenticated TOKEN_SIGNATURE");
  });

  it("holds until it expires", async () => {
    const test = withIssuer({ clockSkewMs: 0, cacheTimeMs: 86_400_000 });
    const known = await test.authenticate(await test.token());
    await test.pass(3600_000 - 1);
    expect(known?.isCurrent?.()).toBe(true);
    await test.pass(1);
    expect(known?.isCurrent?.()).toBe(false);
  });

  it.each([
    ["a key id", {}],
    ["no key id", { kid: undefined }],
  ])("with %s holds over a rotation, and no more once its issuer has removed the key", async (_, header) => {
    const test = withIssuer();
    const exp = Math.floor(test.clock.now() / 1000) + 86_400;
    const known = await test.authenticate(await test.token({ exp }, header));
    const isCurrent = async () => {
      known?.isCurrent?.();
      await test.pass(2000);
      return known?.isCurrent?.();
    };
    test.served.keys = [first.jwk, second.jwk];
    await test.pass(600_000);
    expect(await isCurrent()).toBe(true);
    test.served.keys = [second.jwk];
    await test.pass(600_000);
    await expect.poll(isCurrent).toBe(false);
    // It is gone for good, whatever the issuer says later.
    test.served.keys = [first.jwk];
    await test.pass(600_000);
    await expect.poll(isCurrent).toBe(false);
  });

  it("holds while its issuer is away, and is judged once that is back", async () => {
    const test = withIssuer();
    const known = await test.authenticate(await test.token());
    const isCurrent = async () => {
      known?.isCurrent?.();
      await test.pass(2000);
      return known?.isCurrent?.();
    };
    test.served.keys = [second.jwk];
    await test.pass(600_000);
    test.served.up = false;
    expect(await isCurrent()).toBe(true);
    test.served.up = true;
    await test.pass(2000);
    await expect.poll(isCurrent).toBe(false);
  });

  it("that comes with many calls at once is verified once", async () => {
    const test = withIssuer();
    const token = await test.token();
    const [one, other] = [test.authenticate(token), test.authenticate(token)];
    expect(one).toBe(other);
    await one;
  });
});

describe("the keys of an issuer", () => {
  it("are fetched anew when a token names one that is unknown, and all that wait share the fetch", async () => {
    const test = withIssuer();
    expect(await test.outcome(await test.token())).toBe("ada");
    test.served.keys = [first.jwk, second.jwk];
    const waiting = Promise.all(
      Array.from({ length: 50 }, async (_, number) => test.outcome(await test.token({ number }, {}, second))),
    );
    await test.pass(0);
    await test.pass(2000);
    expect(new Set(await waiting)).toEqual(new Set(["ada"]));
    expect(test.served.fetched).toHaveLength(2);
  });

  it("are not fetched more often than they may be, however many unknown ones are named", async () => {
    const test = withIssuer();
    await test.outcome(await test.token());
    const outcomes: Promise<string>[] = [];
    for (let second = 0; second < 20; second++) {
      for (let call = 0; call < 10; call++) {
        outcomes.push(test.outcome(await test.token({ second, call }, { kid: `made up ${second} ${call}` })));
      }
      await test.pass(1000);
    }
    await test.pass(2000);
    await test.pass(2000);
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(["Unauthenticated TOKEN_KEY_UNKNOWN"]));
    expect(test.served.fetched.length).toBeGreaterThan(5);
    expect(test.served.fetched.length).toBeLessThanOrEqual(1 + 24 / 2);
  });

  it("go on while they cannot be fetched, and tokens with others are to come again", async () => {
    const test = withIssuer();
    expect(await test.outcome(await test.token())).toBe("ada");
    test.served.up = false;
    await test.pass(600_000);
    await test.pass(600_000);
    expect(test.log.entries.filter(({ level }) => level === "warn")).toHaveLength(1);
    expect(await test.outcome(await test.token())).toBe("ada");
    const unknown = test.outcome(await test.token({}, {}, second));
    await test.pass(2000);
    expect(await unknown).toBe("Unavailable ISSUER_UNAVAILABLE");

    test.served.up = true;
    test.served.keys = [second.jwk];
    await test.pass(30_000);
    expect(await test.outcome(await test.token({}, {}, second))).toBe("ada");
  });

  it("that were not there when the server started are there when they can be fetched", async () => {
    const test = withIssuer();
    test.authenticator.close();
    const later = withIssuer();
    later.served.up = false;
    const early = later.outcome(await later.token());
    await later.pass(2000);
    expect(await early).toBe("Unavailable ISSUER_UNAVAILABLE");
    later.served.up = true;
    const late = later.outcome(await later.token());
    await later.pass(2000);
    expect(await late).toBe("ada");
  });

  it("that the issuer has removed verify nothing after the time of the cache, not even what they have verified", async () => {
    const test = withIssuer();
    test.served.keys = [first.jwk, second.jwk];
    const [old, current] = [await test.token(), await test.token({}, {}, second)];
    expect([await test.outcome(old), await test.outcome(current)]).toEqual(["ada", "ada"]);
    test.served.keys = [second.jwk];
    await test.pass(599_000);
    expect(await test.outcome(old)).toBe("ada");
    await test.pass(1000);
    expect(await test.outcome(current)).toBe("ada");
    const refused = test.outcome(old);
    await test.pass(2000);
    expect(await refused).toBe("Unauthenticated TOKEN_KEY_UNKNOWN");
  });

  it("stay when the issuer answers something else", async () => {
    const test = withIssuer();
    expect(await test.outcome(await test.token())).toBe("ada");
    for (const text of ["<html>", "null", "[]", `{"keys": {}}`, `{"keys": [1]}`]) {
      test.served.texts.set(jwksUrl, text);
      await test.pass(600_000);
      expect(await test.outcome(await test.token({ text }))).toBe("ada");
    }
  });

  it("are found by OpenID Connect discovery", async () => {
    const test = withIssuer({ keys: { kind: "discovery" } });
    const document = `${issuer}/.well-known/openid-configuration`;
    test.served.texts.set(document, JSON.stringify({ issuer, jwks_uri: "https://keys.example/set" }));
    expect(await test.outcome(await test.token())).toBe("ada");
    expect(test.served.fetched).toEqual([document, "https://keys.example/set"]);
  });

  it.each([
    ["of another issuer", { issuer: "https://evil.example", jwks_uri: jwksUrl }],
    ["with keys over plain http", { issuer, jwks_uri: "http://login.example/keys" }],
    ["with keys on this machine", { issuer, jwks_uri: "http://127.0.0.1/keys" }],
    ["with keys in a file", { issuer, jwks_uri: "file:///etc/passwd" }],
    ["without keys", { issuer }],
    ["that is none", null],
  ])("are not taken from a discovery document %s", async (_, document) => {
    const test = withIssuer({ keys: { kind: "discovery" } });
    test.served.texts.set(`${issuer}/.well-known/openid-configuration`, JSON.stringify(document));
    const refused = test.outcome(await test.token());
    await test.pass(2000);
    expect(await refused).toBe("Unavailable ISSUER_UNAVAILABLE");
    expect(test.served.fetched.every((url) => url.endsWith("openid-configuration"))).toBe(true);
  });

  it("in a file are read again when it changes, and stay when it breaks", async () => {
    const directory = mkdtempSync(join(tmpdir(), "retake-jwks-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const file = join(directory, "keys.json");
    const write = (...keys: IssuerKey[]): void =>
      writeFileSync(file, JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }));
    write(first);
    const test = withIssuer({ keys: { kind: "file", file } });
    const old = await test.token();
    expect(await test.outcome(old)).toBe("ada");
    // Looked for at once, because a token names it.
    write(first, second);
    expect(await test.outcome(await test.token({}, {}, second))).toBe("ada");
    writeFileSync(file, "{");
    await test.pass(10_000);
    expect(await test.outcome(old)).toBe("ada");
    expect(test.log.entries.at(-1)?.level).toBe("error");
    write(second);
    await test.pass(10_000);
    expect(await test.outcome(old)).toBe("Unauthenticated TOKEN_KEY_UNKNOWN");
    expect(test.served.fetched).toEqual([]);
  });

  it.each([
    ["is not there", undefined, "there is no such file"],
    ["holds something else", "[]", "holds no JSON Web Key Set"],
  ])("in a file that %s are a problem of the configuration", (_, text, problem) => {
    const directory = mkdtempSync(join(tmpdir(), "retake-jwks-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const file = join(directory, "keys.json");
    if (text !== undefined) writeFileSync(file, text);
    expect(() => withIssuer({ keys: { kind: "file", file } })).toThrow(problem);
    expect(() => withIssuer({ keys: { kind: "file", file } })).toThrow(/^security\.jwt\[0\]\.jwks_file: /);
  });

  it("are not waited for once the server has stopped", async () => {
    const test = withIssuer();
    await test.outcome(await test.token());
    const waiting = test.outcome(await test.token({}, {}, second));
    await test.pass(0);
    test.authenticator.close();
    expect(await waiting).toBe("Unavailable ISSUER_UNAVAILABLE");
    expect(test.clock.pendingTimers).toBe(0);
  });
});
