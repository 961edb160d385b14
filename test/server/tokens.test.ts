import { once } from "node:events";
import { createServer as createHttpServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { ConfigError } from "../../src/config/index.ts";
import { createServer } from "../../src/server/index.ts";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { createKey, type IssuerKey, sign } from "../security/jwt/issuer.ts";
import { fetchWeb, startListening } from "./listening-server.ts";

/** An issuer of tokens on this machine, as OpenID Connect has them. */
async function startIssuer(...first: IssuerKey[]) {
  let published = first;
  const fetched = { sets: 0 };
  const http: Server = createHttpServer((request, response) => {
    if (request.url === "/.well-known/openid-configuration") {
      response.end(JSON.stringify({ issuer, jwks_uri: `${issuer}/keys` }));
    } else {
      fetched.sets++;
      response.end(JSON.stringify({ keys: published.map(({ jwk }) => jwk) }));
    }
  }).listen(0, "127.0.0.1");
  await once(http, "listening");
  const issuer = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const stop = (): void => {
    http.closeAllConnections();
    http.close();
  };
  onTestFinished(stop);
  return {
    issuer,
    fetched,
    stop,
    publish: (...keys: IssuerKey[]) => {
      published = keys;
    },
    token: (key: IssuerKey, claims: Record<string, unknown> = {}) =>
      sign({
        key,
        claims: { iss: issuer, aud: "retake", sub: "ada", exp: Math.floor(Date.now() / 1000) + 60, ...claims },
      }),
  };
}

const plainForKnown = { access: { min: AccessLevel.AUTHENTICATED } };

async function startServer(issuer: string) {
  const jwt = {
    issuer,
    audiences: ["retake"],
    algorithms: ["ES256"],
    cacheTime: { seconds: 1n },
    fetchInterval: { nanos: 100_000_000 },
    identity: { tenant: `"studio"` },
  };
  const server = await startListening(
    { plain: (_, { run }) => ({ text: `${run.owner.tenant}/${run.owner.subject}` }) },
    { config: { security: { jwt: [jwt] }, workflows: { [`${WorkflowsService.typeName}/Plain`]: plainForKnown } } },
  );
  const fronts = [server.grpc, server.web["connect with JSON"]];
  const owner = (transport: Transport, token: string): Promise<string> =>
    createClient(WorkflowsService, transport)
      .plain({}, { headers: { authorization: `Bearer ${token}` } })
      .then(
        ({ text }) => text,
        (error: unknown) => Code[ConnectError.from(error).code] ?? "",
      );
  return { ...server, owners: (token: string) => Promise.all(fronts.map((front) => owner(front, token))) };
}

describe("tokens", () => {
  it("go on through a rotation of keys without one refusal, and those of the old key end with the cache", async () => {
    const [first, second, third] = await Promise.all([createKey(), createKey(), createKey()]);
    const { issuer, token, publish } = await startIssuer(first);
    const { owners } = await startServer(issuer);
    let current = first;
    let calling = true;
    const outcomes: string[] = [];
    const rounds = [0, 0, 0];
    const caller = async (number: number): Promise<void> => {
      for (let call = 0; calling; call++) {
        outcomes.push(...(await owners(await token(current, { jti: `${number} ${call}` }))));
        rounds[number] = call;
        await wait(5);
      }
    };
    /** Until nobody is under way any more with a key from before. */
    const twoRounds = async (): Promise<void> => {
      const before = [...rounds];
      while (rounds.some((round, number) => round < (before[number] ?? 0) + 2)) await wait(5);
    };
    const callers = Promise.all(rounds.map((_, number) => caller(number)));
    const old = await token(first);
    const published = [first];
    for (const next of [second, third]) {
      await twoRounds();
      // The hard way: the first token with the new key comes at the very moment at which the key is published.
      publish(...published, next);
      published.push(next);
      current = next;
    }
    await twoRounds();
    expect(await owners(old)).toEqual(["studio/ada", "studio/ada"]);
    publish(third);
    const removedMs = performance.now();
    while ((await owners(old))[0] === "studio/ada") {
      expect(performance.now() - removedMs).toBeLessThan(15_000);
      await wait(20);
    }
    expect(await owners(old)).toEqual(["Unauthenticated", "Unauthenticated"]);
    calling = false;
    await callers;
    expect(outcomes.length).toBeGreaterThan(10);
    expect(new Set(outcomes)).toEqual(new Set(["studio/ada"]));
  });

  it("with known keys are taken while their issuer is away", async () => {
    const [known, unknown] = await Promise.all([createKey(), createKey()]);
    const { issuer, token, stop } = await startIssuer(known);
    const { owners } = await startServer(issuer);
    expect(await owners(await token(known))).toEqual(["studio/ada", "studio/ada"]);
    stop();
    expect(await owners(await token(known, { jti: "another" }))).toEqual(["studio/ada", "studio/ada"]);
    expect(await owners(await token(unknown))).toEqual(["Unavailable", "Unavailable"]);
  });

  it("that are refused say so over HTTP with a challenge", async () => {
    const key = await createKey();
    const { issuer, token } = await startIssuer(key);
    const { webPort } = await startServer(issuer);
    const answer = await fetchWeb(webPort, "/retake.test.v1.WorkflowsService/Plain", {
      headers: { "content-type": "application/json", authorization: `Bearer ${await token(key, { aud: "other" })}` },
      body: "{}",
    });
    expect(answer.status).toBe(401);
    expect(answer.headers["www-authenticate"]).toBe("Bearer");
    expect(answer.json).toMatchObject({
      code: "unauthenticated",
      message: expect.stringContaining("for somebody else"),
    });
  });

  it("with a mapping that cannot work stop the start, by its key", async () => {
    const identity = { level: "claim.role" };
    const jwt = [{ issuer: "https://login.example", audiences: ["a"], algorithms: ["ES256"], identity }];
    const server = createServer({ grpc: { port: 0 }, web: { port: 0 }, security: { jwt } });
    const error: unknown = await server.listen().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).message).toBe(
      `configuration: security.jwt[0].identity.level: "claim.role" is no CEL expression for this: there is no variable claim. Did you mean "claims"?`,
    );
  });
});
