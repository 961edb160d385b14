import { ConnectError } from "@connectrpc/connect";
import type { errors, JWTPayload } from "jose";
import type { Logger } from "../../runs/index.ts";
import type { TraceFields } from "../../trace-fields.ts";
import { ExpressionError } from "../cel/expression-error.ts";
import { CredentialsError } from "../credentials-error.ts";

export interface RefusalOptions {
  readonly jose: typeof errors;
  readonly log: Logger;
  readonly call: TraceFields;
  /** The claims of a token whose signature is right. */
  readonly claims?: JWTPayload | undefined;
}

/** Why a token is refused, in words that say what to do. Nothing of the token is in them. */
export function refusalOf(error: unknown, { jose, log, call, claims }: RefusalOptions): ConnectError {
  if (error instanceof ConnectError) return error;
  const proven = provenSubject(claims ?? signedClaims(error, jose));
  const refuse = (reason: string, message: string): ConnectError =>
    new CredentialsError(reason, message, { proven, cause: error });
  if (error instanceof ExpressionError) {
    log.warn({ err: error, ...call }, "a token is refused: its claims cannot be mapped to an identity");
    return refuse("TOKEN_UNMAPPED", "the claims of the token tell no identity; the server's log says why");
  }
  if (error instanceof jose.JWTExpired) return refuse("TOKEN_EXPIRED", "the token has expired: get a new one");
  if (error instanceof jose.JWTClaimValidationFailed) {
    switch (error.claim) {
      case "nbf":
        return refuse("TOKEN_NOT_YET_VALID", "the token is not valid yet: look at the clock of its issuer");
      case "aud":
        return refuse("TOKEN_AUDIENCE", "the token is for somebody else: get one for this server (its aud is another)");
      default:
        return refuse("TOKEN_CLAIMS", `the token has no ${error.claim} that is taken here`);
    }
  }
  if (error instanceof jose.JOSEAlgNotAllowed) {
    return refuse("TOKEN_ALGORITHM", "the token is signed with an algorithm that is not taken from its issuer");
  }
  if (error instanceof jose.JWKSNoMatchingKey) {
    return refuse("TOKEN_KEY_UNKNOWN", "the token is signed with a key that its issuer does not have (any more)");
  }
  if (error instanceof jose.JWSSignatureVerificationFailed) {
    return refuse("TOKEN_SIGNATURE", "the signature of the token is not that of its issuer");
  }
  return refuse("TOKEN_INVALID", "this is no token that can be read: a signed JSON Web Token is wanted");
}

/** Jose looks at claims behind the signature only. */
function signedClaims(error: unknown, jose: typeof errors): JWTPayload | undefined {
  const signed = error instanceof jose.JWTExpired || error instanceof jose.JWTClaimValidationFailed;
  return signed ? error.payload : undefined;
}

const longestSubject = 255;

/** With its issuer, whose names are not those of others. Undefined for none, and for what is no name. */
function provenSubject({ sub, iss }: JWTPayload = {}): string | undefined {
  if (typeof sub !== "string" || sub === "" || sub.length > longestSubject || /\p{C}/u.test(sub)) return undefined;
  return `${sub} of ${iss}`;
}
