import type { PeerCertificate } from "node:tls";
import type { Clock } from "../../clock.ts";
import type { ResolvedCertificateRule } from "../../config/index.ts";
import type { Logger } from "../../runs/index.ts";
import { traceFields } from "../../trace-fields.ts";
import type { Authenticator, Credentials } from "../authenticator.ts";
import { compileCondition, type Expression } from "../cel/expression.ts";
import { CredentialsError } from "../credentials-error.ts";
import { compileIdentity, type Identity } from "../identity.ts";
import type { Principal } from "../principal.ts";
import { certificateFields, certifiedName, fingerprintOf } from "./certificate-fields.ts";

interface Rule {
  readonly condition: Expression<boolean>;
  readonly identity: (bindings: { certificate: Map<string, string | string[]> }) => Identity;
}

/** Tells callers by the certificates of their connections. */
export class CertificateAuthenticator implements Authenticator {
  readonly #rules: readonly Rule[];
  readonly #log: Logger;
  readonly #clock: Clock;
  /** By the connection's certificate: undefined for one that is refused. */
  readonly #known = new WeakMap<PeerCertificate, { readonly principal: Principal | undefined }>();

  /** @throws ExpressionError */
  constructor(
    rules: readonly ResolvedCertificateRule[],
    { clock, log }: { readonly clock: Clock; readonly log: Logger },
  ) {
    this.#rules = rules.map(({ condition, identity, field }) => ({
      condition: compileCondition(condition, { variables: ["certificate"], field: `${field}.condition` }),
      identity: compileIdentity(identity, {
        variable: "certificate",
        field: `${field}.identity`,
        subject: "certificate.common_name",
      }),
    }));
    this.#log = log;
    this.#clock = clock;
  }

  authenticate(credentials: Credentials): Principal | undefined {
    const { certificate } = credentials;
    // What headers show is of this call, right or wrong; the certificate may be that of a proxy for many callers.
    if (certificate === undefined || credentials.any) return undefined;
    let known = this.#known.get(certificate);
    if (known === undefined) {
      known = { principal: this.#principalOf(certificate, credentials) };
      this.#known.set(certificate, known);
    }
    if (known.principal !== undefined) {
      // The handshake looked at its dates, and connections live long.
      if (known.principal.isCurrent?.() === false) throw expired(certificate);
      return known.principal;
    }
    throw new CredentialsError(
      "CERTIFICATE_UNKNOWN",
      "the server does not know whom this connection's certificate belongs to: ask its operator for a rule (security.mtls), or send an API key or a token",
      { proven: certifiedName(certificate) },
    );
  }

  #principalOf(peer: PeerCertificate, { traceparent }: Credentials): Principal | undefined {
    const fingerprint = fingerprintOf(peer);
    try {
      const certificate = certificateFields(peer);
      const rule = this.#rules.find(({ condition }) => condition.evaluate({ certificate }));
      if (rule !== undefined) {
        const validToMs = Date.parse(peer.valid_to);
        return {
          ...rule.identity({ certificate }),
          authentication: "mtls",
          credential: fingerprint,
          isCurrent: () => this.#clock.now() < validToMs,
        };
      }
      this.#log.warn(
        { fingerprint, ...traceFields(traceparent) },
        "a client's certificate is refused: no rule of security.mtls is for it",
      );
    } catch (error) {
      this.#log.warn(
        { err: error, fingerprint, ...traceFields(traceparent) },
        "a client's certificate is refused: a rule cannot be applied to it",
      );
    }
    return undefined;
  }
}

function expired(certificate: PeerCertificate): CredentialsError {
  return new CredentialsError(
    "CERTIFICATE_EXPIRED",
    `the certificate of this connection was valid until ${certificate.valid_to}: connect anew, with one that is`,
    { proven: certifiedName(certificate) },
  );
}
