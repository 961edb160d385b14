import type { PeerCertificate } from "node:tls";
import { Code, ConnectError, type Interceptor, type StreamRequest, type UnaryRequest } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { createError } from "../../runs/index.ts";
import {
  type Audit,
  type Authenticator,
  type Credentials,
  CredentialsError,
  inProcess,
  type Lockout,
  type Principal,
  principalKey,
} from "../../security/index.ts";
import { type Peer, peerKey } from "../../transport/index.ts";

export interface AuthenticateOptions {
  /** Asked in this order, until one knows the credentials. */
  readonly authenticators: readonly Authenticator[];
  /** Who calls over the network and shows nothing. */
  readonly anonymous: Principal;
  /** Absent where nobody is slowed down or locked out. */
  readonly lockout?: Lockout | undefined;
  readonly audit: Audit;
}

type AnyRequest = UnaryRequest | StreamRequest;

/**
 * Finds out who calls, and puts that into the call's context. Wrong credentials are refused, not taken for none; the answer
 * comes the later, the more of them there were.
 */
export function authenticate(options: AuthenticateOptions): Interceptor {
  const { authenticators, anonymous, lockout } = options;

  // One after the other: what nobody waited for any more could be rejected with nobody to hear it.
  const principalOf = (shown: Shown, from = 0): Principal | Promise<Principal> => {
    for (let index = from; index < authenticators.length; index++) {
      const principal = authenticators[index]?.authenticate(shown);
      if (principal instanceof Promise) return principal.then((known) => known ?? principalOf(shown, index + 1));
      if (principal !== undefined) return principal;
    }
    return unjudged(shown);
  };

  const unjudged = (shown: Shown): Principal => {
    if (shown.any) throw unknownKind();
    return shown.peer?.inProcess === true ? inProcess : anonymous;
  };

  const refuse = async (error: unknown, request: AnyRequest, shown: Shown): Promise<never> => {
    if (!(error instanceof ConnectError) || error.code !== Code.Unauthenticated) throw error;
    // Connect takes whatever looks like one of its errors for an instance of each of their classes.
    const blamed = (error as Partial<CredentialsError>).blamed ?? {};
    const { claimed, proven } = blamed;
    const { source } = shown;
    const resource = `${request.service.typeName}/${request.method.name}`;
    const whose: Record<string, string> = {
      ...(claimed !== undefined && { key_id: claimed }),
      ...(proven !== undefined && { proven_subject: proven }),
    };
    const tell = (action: string, details: Readonly<Record<string, string>>): void =>
      options.audit.record({
        action,
        outcome: "denied",
        principal: anonymous,
        resource,
        source,
        reason: reasonOf(error),
        details,
      });
    if (lockout === undefined || shown.peer?.inProcess === true) {
      tell("auth.failed", whose);
      throw error;
    }
    const judgement = lockout.failed(source, blamed);
    if (judgement.kind === "delayed") {
      tell("auth.failed", whose);
      await lockout.hold(judgement.delayMs, request.signal);
      throw error;
    }
    // Not each of them: whoever is locked out must not be able to fill the log.
    if (judgement.began) {
      const { by, name, forMs, refused } = judgement;
      const times = { locked: by === "source" ? name : `${by} ${name}`, for_ms: String(Math.round(forMs)) };
      tell("auth.locked_out", { ...whose, ...times, refused_before: String(refused) });
    }
    if (judgement.by === "subject") {
      // Told to wait, a client whose token has just run out would not get another one, which would be taken.
      await lockout.hold(judgement.holdMs, request.signal);
      throw error;
    }
    throw lockedOut(judgement.forMs);
  };

  return (next) => (request) => {
    const shown = new Shown(request, lockout);
    let principal: Principal | Promise<Principal>;
    try {
      shown.assertOne();
      principal = principalOf(shown);
    } catch (error) {
      return refuse(error, request, shown);
    }
    if (principal instanceof Promise) {
      return principal.then(
        (known) => {
          request.contextValues.set(principalKey, known);
          return next(request);
        },
        (error: unknown) => refuse(error, request, shown),
      );
    }
    request.contextValues.set(principalKey, principal);
    return next(request);
  };
}

/** What a call shows; what only some authenticators look at is found out when they do. */
class Shown implements Credentials {
  readonly bearer: string | undefined;
  readonly apiKey: string | undefined;
  readonly #authorization: string | null;
  readonly #request: AnyRequest;
  readonly #lockout: Lockout | undefined;
  #peer: Peer | undefined;

  constructor(request: AnyRequest, lockout: Lockout | undefined) {
    this.#request = request;
    this.#lockout = lockout;
    this.#authorization = request.header.get("authorization");
    this.bearer = this.#authorization === null ? undefined : bearerOf(this.#authorization);
    this.apiKey = request.header.get("x-api-key") ?? undefined;
  }

  get any(): boolean {
    return this.#authorization !== null || this.apiKey !== undefined;
  }

  get peer(): Peer | undefined {
    this.#peer ??= this.#request.contextValues.get(peerKey);
    return this.#peer;
  }

  get certificate(): PeerCertificate | undefined {
    return this.peer?.certificate;
  }

  get source(): string {
    return this.peer?.address ?? "";
  }

  get traceparent(): string | null {
    return this.#request.header.get("traceparent");
  }

  get lockedOut(): boolean {
    return this.#lockout?.isLocked(this.source) === true;
  }

  /** @throws CredentialsError for two that differ: which of them counts must not be up to the server */
  assertOne(): void {
    if (this.apiKey === undefined || this.#authorization === null || this.apiKey === this.bearer) return;
    throw new CredentialsError(
      "CREDENTIALS_AMBIGUOUS",
      "authorization and x-api-key of this call say different things: send one of them",
    );
  }
}

function bearerOf(authorization: string): string | undefined {
  if (authorization.startsWith("Bearer ") && authorization.charCodeAt(7) !== space) return authorization.slice(7);
  return /^bearer +(.+)$/i.exec(authorization)?.[1];
}

const space = 0x20;

function unknownKind(): CredentialsError {
  return new CredentialsError(
    "CREDENTIALS_UNKNOWN",
    "the credentials of this call are of no kind that the server takes: send an API key, which begins with rtk_, or a token that it is configured for, as authorization: Bearer CREDENTIALS",
  );
}

/**
 * RESOURCE_EXHAUSTED, because clients take UNAUTHENTICATED for a reason to get another token and come back at once, and
 * this for one to wait.
 */
function lockedOut(forMs: number): ConnectError {
  const seconds = Math.max(1, Math.ceil(forMs / 1000));
  return createError(
    Code.ResourceExhausted,
    "LOCKED_OUT",
    `too many calls with wrong credentials have come from this address or for this key: they are refused without a look for another ${seconds} s; an API key that is right is taken at any time`,
    { retryDelayMs: forMs },
  );
}

function reasonOf(error: ConnectError): string {
  const [info] = error.findDetails(ErrorInfoSchema);
  return info?.reason ?? "";
}
