import { Code, createContextValues, type UnaryRequest } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { authenticate } from "../../../src/interceptors/rpc/index.ts";
import { type Authenticator, anonymous, inProcess, type Principal, principalKey } from "../../../src/security/index.ts";
import { type Peer, peerKey } from "../../../src/transport/index.ts";

const somebody: Principal = { ...anonymous, level: AccessLevel.ADMIN };
const alice: Principal = { ...anonymous, subject: "alice", authentication: "api_key" };
const keys: Authenticator = { authenticate: ({ apiKey }) => (apiKey === "alice's" ? alice : undefined) };

async function principalOf(
  authenticators: readonly Authenticator[],
  { header = {}, peer }: { readonly header?: Record<string, string>; readonly peer?: Peer },
): Promise<Principal> {
  const contextValues = createContextValues().set(peerKey, peer);
  const request = { header: new Headers(header), contextValues } as UnaryRequest;
  let principal: Principal | undefined;
  const next = (called: UnaryRequest) => {
    principal = called.contextValues.get(principalKey);
    return Promise.resolve({} as never);
  };
  await authenticate({ authenticators, anonymous: somebody })(next as never)(request);
  if (principal === undefined) throw new Error("the call did not go on");
  return principal;
}

const remote: Peer = { address: "192.0.2.1:5000", certificate: undefined };
const local: Peer = { address: "in-process", certificate: undefined, inProcess: true };

it.each([
  ["without authenticators", []],
  ["with authenticators", [keys]],
])("a call that shows nothing is anonymous, or code of this process: %s", async (_, authenticators) => {
  expect(await principalOf(authenticators, { peer: remote })).toBe(somebody);
  expect(await principalOf(authenticators, {})).toBe(somebody);
  expect(await principalOf(authenticators, { peer: local })).toBe(inProcess);
});

it("what a call shows to nobody is not looked at", async () => {
  expect(await principalOf([], { peer: remote, header: { "x-api-key": "alice's" } })).toBe(somebody);
});

it("a call is of whom an authenticator knows, and refused when none knows what it shows", async () => {
  expect(await principalOf([keys], { peer: remote, header: { "x-api-key": "alice's" } })).toBe(alice);
  await expect(principalOf([keys], { peer: remote, header: { "x-api-key": "bob's" } })).rejects.toMatchObject({
    code: Code.Unauthenticated,
  });
});
