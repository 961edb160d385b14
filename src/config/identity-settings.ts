import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import type { CertificateRule, IdentityMapping, JwtConfig } from "../../gen/retake/v1/identity_config_pb.js";

/** CEL expressions that tell who is behind a credential; what is absent has its default. */
export interface ResolvedIdentity {
  readonly subject?: string;
  readonly tenant?: string;
  readonly level?: string;
  readonly groups?: string;
}

/** Whose tokens are taken, and how. Durations are in milliseconds. */
export interface ResolvedJwt {
  /** Its key in the configuration. */
  readonly field: string;
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  readonly keys:
    | { readonly kind: "discovery" }
    | { readonly kind: "url"; readonly url: string }
    | { readonly kind: "file"; readonly file: string };
  readonly cacheTimeMs: number;
  readonly fetchIntervalMs: number;
  readonly fetchTimeoutMs: number;
  readonly clockSkewMs: number;
  /** Absent for tokens of any type. */
  readonly type?: string;
  readonly identity: ResolvedIdentity;
}

/** Who is behind a client certificate. */
export interface ResolvedCertificateRule {
  /** Its key in the configuration. */
  readonly field: string;
  readonly condition: string;
  readonly identity: ResolvedIdentity;
}

const defaults = {
  cacheTimeMs: 600_000,
  // As often as an issuer can well bear it: a token with a key that is new waits for this.
  fetchIntervalMs: 2_000,
  fetchTimeoutMs: 5_000,
  clockSkewMs: 30_000,
};

export function resolveJwt(jwt: JwtConfig, index: number): ResolvedJwt {
  const { issuer, audiences, algorithms, keys, type, identity } = jwt;
  return {
    field: `security.jwt[${index}]`,
    issuer,
    audiences: [...audiences],
    algorithms: [...algorithms],
    keys: resolveKeys(keys),
    cacheTimeMs: msOr(jwt.cacheTime, defaults.cacheTimeMs),
    fetchIntervalMs: msOr(jwt.fetchInterval, defaults.fetchIntervalMs),
    fetchTimeoutMs: msOr(jwt.fetchTimeout, defaults.fetchTimeoutMs),
    clockSkewMs: msOr(jwt.clockSkew, defaults.clockSkewMs),
    ...(type !== "" && { type }),
    identity: resolveIdentity(identity),
  };
}

export function resolveCertificateRule(rule: CertificateRule, index: number): ResolvedCertificateRule {
  return {
    field: `security.mtls[${index}]`,
    condition: rule.condition,
    identity: resolveIdentity(rule.identity),
  };
}

function resolveKeys(keys: JwtConfig["keys"]): ResolvedJwt["keys"] {
  switch (keys.case) {
    case "jwksUrl":
      return { kind: "url", url: keys.value };
    case "jwksFile":
      return { kind: "file", file: keys.value };
    case undefined:
      return { kind: "discovery" };
  }
}

function resolveIdentity(identity: IdentityMapping | undefined): ResolvedIdentity {
  const { subject = "", tenant = "", level = "", groups = "" } = identity ?? {};
  return {
    ...(subject !== "" && { subject }),
    ...(tenant !== "" && { tenant }),
    ...(level !== "" && { level }),
    ...(groups !== "" && { groups }),
  };
}

function msOr(duration: Duration | undefined, defaultMs: number): number {
  return duration === undefined ? defaultMs : durationMs(duration);
}
