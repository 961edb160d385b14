import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ClientCertificate, ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import type { JwtConfigSchema } from "../../gen/retake/v1/identity_config_pb.js";
import { ConfigError } from "../../src/config/config-error.ts";
import { resolveConfig } from "../../src/config/resolve-config.ts";

type Init = MessageInitShape<typeof ServerConfigSchema>;
type Jwt = MessageInitShape<typeof JwtConfigSchema>;

function problemsOf(init: Init): string[] {
  try {
    resolveConfig(create(ServerConfigSchema, init));
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ field, message }) => `${field}: ${message}`);
    throw error;
  }
  return [];
}

const issuer = { issuer: "https://login.example", audiences: ["retake"], algorithms: ["RS256"] };
const withIssuers = (...jwt: Partial<Extract<Jwt, { $typeName?: never }>>[]): Init => ({
  security: { jwt: jwt.map((each) => ({ ...issuer, ...each })) as Jwt[] },
});

describe("issuers of tokens", () => {
  it("have defaults for all that can have one", () => {
    expect(resolveConfig(create(ServerConfigSchema, withIssuers({}))).security.jwt).toEqual([
      {
        field: "security.jwt[0]",
        ...issuer,
        keys: { kind: "discovery" },
        cacheTimeMs: 600_000,
        fetchIntervalMs: 2_000,
        fetchTimeoutMs: 5_000,
        clockSkewMs: 30_000,
        identity: {},
      },
    ]);
  });

  it.each(["none", "HS256", "HS512", "RSA1_5", "rs256", ""])("are refused with the algorithm %j", (algorithm) => {
    expect(problemsOf(withIssuers({ algorithms: ["RS256", algorithm] }))).toEqual([
      expect.stringContaining("security.jwt[0].algorithms[1]: "),
    ]);
  });

  it.each([
    ["no algorithm", { algorithms: [] }, "security.jwt[0].algorithms"],
    ["no audience", { audiences: [] }, "security.jwt[0].audiences"],
    ["no name", { issuer: "" }, "security.jwt[0].issuer"],
  ])("are refused with %s", (_, jwt, field) => {
    expect(problemsOf(withIssuers(jwt))).toEqual([expect.stringContaining(`${field}: `)]);
  });

  it.each([
    ["https://keys.example/jwks", undefined],
    ["http://127.0.0.1:8080/jwks", undefined],
    ["http://localhost/jwks", undefined],
    ["http://[::1]:80/jwks", undefined],
    ["http://keys.example/jwks", "is neither https nor, on this machine, http"],
    ["http://localhost.example/jwks", "is neither https nor, on this machine, http"],
    ["http://127.0.0.1.example/jwks", "is neither https nor, on this machine, http"],
    ["file:///etc/passwd", "is neither https nor, on this machine, http"],
    ["keys.json", `"keys.json" is no URL`],
  ])("get keys from %s only if nobody can change them on the way", (url, problem) => {
    expect(problemsOf(withIssuers({ keys: { case: "jwksUrl", value: url } }))).toEqual(
      problem === undefined ? [] : [expect.stringContaining(problem)],
    );
  });

  it("need a URL for discovery, and none with a file", () => {
    expect(problemsOf(withIssuers({ issuer: "our-ci" }))).toEqual([
      `security.jwt[0].issuer: "our-ci" is no URL; or name jwks_url or jwks_file`,
    ]);
    expect(problemsOf(withIssuers({ issuer: "our-ci", keys: { case: "jwksFile", value: "keys.json" } }))).toEqual([]);
  });

  it("are named once", () => {
    expect(problemsOf(withIssuers({}, { audiences: ["other"] }))).toEqual([
      "security.jwt[1].issuer: security.jwt[0] is of this issuer already; give that all audiences and algorithms",
    ]);
  });

  it("cannot pass for each other: all but one map subject or tenant", () => {
    const other = { issuer: "https://partner.example" };
    expect(problemsOf(withIssuers({}, other))).toEqual([
      expect.stringContaining(
        "security.jwt[1].identity: subjects of this issuer and of https://login.example would be taken for each other",
      ),
    ]);
    expect(problemsOf(withIssuers({}, { ...other, identity: { tenant: `"partner"` } }))).toEqual([]);
    expect(problemsOf(withIssuers({ identity: { subject: `"a:" + claims.sub` } }, other))).toEqual([]);
  });
});

describe("certificates of clients", () => {
  const tls = { certificateFile: "a.pem", keyFile: "a.key" };

  it("are optional or checked for revocation only where they are asked for", () => {
    const wanted = { ...tls, clientCertificate: ClientCertificate.OPTIONAL, clientCrlFile: "revoked.pem" };
    expect(problemsOf({ grpc: { tls: wanted }, web: { tls } })).toEqual([
      expect.stringContaining("grpc.tls.client_certificate: needs client_ca_file"),
      expect.stringContaining("grpc.tls.client_crl_file: needs client_ca_file"),
    ]);
    expect(problemsOf({ grpc: { tls: { ...wanted, clientCaFile: "ca.pem" } } })).toEqual([]);
  });

  it("are mapped only where a port asks for them", () => {
    const security = { mtls: [{ condition: "true" }] };
    expect(problemsOf({ security, grpc: { tls } })).toEqual([
      "security.mtls: no port asks for certificates of clients; name client_ca_file in grpc.tls or web.tls",
    ]);
    expect(problemsOf({ security, web: { tls: { ...tls, clientCaFile: "ca.pem" } } })).toEqual([]);
  });
});
