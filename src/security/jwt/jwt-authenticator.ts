import type { ConnectError } from "@connectrpc/connect";
import type { JWTPayload } from "jose";
import type { Clock } from "../../clock.ts";
import type { ResolvedJwt } from "../../config/index.ts";
import type { Logger } from "../../runs/index.ts";
import { type TraceFields, traceFields } from "../../trace-fields.ts";
import type { Authenticator, Credentials } from "../authenticator.ts";
import type { Bindings } from "../cel/expression.ts";
import { ExpressionError } from "../cel/expression-error.ts";
import { CredentialsError, notAccepted } from "../credentials-error.ts";
import { compileIdentity, type Identity } from "../identity.ts";
import type { Principal } from "../principal.ts";
import { Counter } from "../rate-limits/counter.ts";
import { sourceOf } from "../source.ts";
import { claimsOf } from "./claims.ts";
import type { fetchText } from "./fetch-text.ts";
import { FileKeys } from "./file-keys.ts";
import type { Keys } from "./keys.ts";
import { refusalOf } from "./refusal.ts";
import { RemoteKeys } from "./remote-keys.ts";
import { claimedIssuer, isToken } from "./token-form.ts";
import { TokenStanding } from "./token-standing.ts";
import { VerifiedTokens } from "./verified-tokens.ts";

type Jose = typeof import("jose");

export interface JwtAuthenticatorOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Where keys come from. Default: over the network. */
  readonly fetch?: typeof fetchText;
}

interface Issuer {
  readonly jwt: ResolvedJwt;
  readonly keys: Keys;
  /** How often its keys have changed. */
  changes: number;
  readonly identity: (bindings: Bindings) => Identity;
}

/**
 * Tells callers by the tokens of issuers.
 *
 * @throws ExpressionError for a mapping, or a file with keys, that cannot be used
 */
export async function createJwtAuthenticator(
  configured: readonly ResolvedJwt[],
  options: JwtAuthenticatorOptions,
): Promise<JwtAuthenticator> {
  // Loaded where there are tokens only: it is more than the rest of what a call passes.
  return new JwtAuthenticator(configured, await import("jose"), options);
}

/** New tokens of a locked-out source that are looked at all the same: few milliseconds of work in a second. */
const lookedAtWhileLocked = { limit: 10, windowMs: 1000, burst: 10, maxKeys: 10_000 };

/** As many keys are tried for a token that names none. */
const mostCandidates = 10;

export class JwtAuthenticator implements Authenticator {
  readonly #jose: Jose;
  readonly #options: JwtAuthenticatorOptions;
  readonly #issuers: ReadonlyMap<string, Issuer>;
  readonly #verified = new VerifiedTokens();
  /** Those that are being verified: clients send several calls at once with a token that is new. */
  readonly #pending = new Map<string, Promise<Principal>>();
  readonly #lookedAt = new Counter(lookedAtWhileLocked);

  constructor(configured: readonly ResolvedJwt[], jose: Jose, options: JwtAuthenticatorOptions) {
    this.#jose = jose;
    this.#options = options;
    const identities = configured.map(({ identity, field }) =>
      compileIdentity(identity, { variable: "claims", field: `${field}.identity`, subject: "claims.sub" }),
    );
    const issuers = new Map<string, Issuer>();
    this.#issuers = issuers;
    for (const [index, jwt] of configured.entries()) {
      const identity = identities[index];
      if (identity === undefined) continue;
      const keys = this.#keysOf(jwt);
      const issuer: Issuer = { jwt, keys, changes: 0, identity };
      keys.onChange = () => {
        issuer.changes++;
        this.#verified.removeAll(jwt.issuer);
      };
      issuers.set(jwt.issuer, issuer);
    }
  }

  authenticate(credentials: Credentials): Principal | undefined | Promise<Principal> {
    const { bearer } = credentials;
    if (bearer === undefined) return undefined;
    const known = this.#verified.get(bearer, this.#options.clock.now());
    if (known !== undefined) return known;
    if (!isToken(bearer)) return undefined;
    const pending = this.#pending.get(bearer);
    if (pending !== undefined) return pending;
    if (credentials.lockedOut && !this.#mayLook(credentials.source)) throw notAccepted();
    const verified = this.#verify(bearer, credentials).finally(() => this.#pending.delete(bearer));
    this.#pending.set(bearer, verified);
    return verified;
  }

  /** Looks at once whether files with keys have changed. */
  check(): void {
    for (const { keys } of this.#issuers.values()) keys.check();
  }

  close(): void {
    for (const { keys } of this.#issuers.values()) keys.close();
  }

  /** Whoever guesses must not make the server verify all that he guesses, nor shut out those behind the same address. */
  #mayLook(peer: string): boolean {
    const source = sourceOf(peer);
    const nowMs = this.#options.clock.monotonic();
    if (this.#lookedAt.waitMs(source, nowMs) > 0) return false;
    this.#lookedAt.count(source, nowMs);
    return true;
  }

  #keysOf(jwt: ResolvedJwt): Keys {
    const options = { ...this.#options, jwt, jose: this.#jose };
    switch (jwt.keys.kind) {
      case "discovery":
        return new RemoteKeys(options);
      case "url":
        return new RemoteKeys({ ...options, url: jwt.keys.url });
      case "file":
        try {
          return new FileKeys({ ...options, file: jwt.keys.file });
        } catch (error) {
          this.close();
          throw new ExpressionError(`${jwt.field}.jwks_file`, (error as Error).message);
        }
    }
  }

  async #verify(token: string, credentials: Credentials): Promise<Principal> {
    const issuer = this.#issuers.get(claimedIssuer(token) ?? "");
    if (issuer === undefined) {
      throw new CredentialsError("TOKEN_ISSUER_UNKNOWN", "the token is of an issuer whose tokens are not taken here");
    }
    const { changes } = issuer;
    const claims = await this.#claimsOf(token, issuer);
    const untilMs = (claims.exp ?? 0) * 1000 + issuer.jwt.clockSkewMs;
    const { isCurrent } = new TokenStanding({
      clock: this.#options.clock,
      untilMs,
      changes: () => issuer.changes,
      verifiedAt: changes,
      verify: () => this.#claimsOf(token, issuer),
    });
    const principal: Principal = { ...this.#identityOf(claims, issuer, credentials), authentication: "jwt", isCurrent };
    // What has been verified by keys from before is not known for sure.
    if (issuer.changes === changes) this.#verified.add(token, { principal, issuer: issuer.jwt.issuer, untilMs });
    return principal;
  }

  #identityOf(claims: JWTPayload, issuer: Issuer, { traceparent }: Credentials): Identity {
    try {
      return issuer.identity({ claims: claimsOf(claims) });
    } catch (error) {
      throw this.#refusalOf(error, traceFields(traceparent), claims);
    }
  }

  /** @throws ConnectError for a token that is refused, or cannot be judged now */
  async #claimsOf(token: string, issuer: Issuer): Promise<JWTPayload> {
    try {
      return await this.#verifiedClaims(token, issuer);
    } catch (error) {
      throw this.#refusalOf(error);
    }
  }

  #refusalOf(error: unknown, call: TraceFields = {}, claims?: JWTPayload): ConnectError {
    return refusalOf(error, { jose: this.#jose.errors, log: this.#options.log, call, claims });
  }

  async #verifiedClaims(token: string, { jwt, keys }: Issuer): Promise<JWTPayload> {
    const { jwtVerify, errors } = this.#jose;
    const options = {
      issuer: jwt.issuer,
      audience: [...jwt.audiences],
      algorithms: [...jwt.algorithms],
      clockTolerance: jwt.clockSkewMs / 1000,
      currentDate: new Date(this.#options.clock.now()),
      requiredClaims: ["exp", "iss", "sub", "aud"],
      ...(jwt.type !== undefined && { typ: jwt.type }),
    };
    try {
      return (await jwtVerify(token, keys.find, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      let tried = 0;
      for await (const key of error) {
        if (tried++ === mostCandidates) break;
        try {
          return (await jwtVerify(token, key, options)).payload;
        } catch (failure) {
          if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure;
        }
      }
      throw new errors.JWSSignatureVerificationFailed();
    }
  }
}
