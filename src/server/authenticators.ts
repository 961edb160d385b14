import type { Clock } from "../clock.ts";
import { ConfigError, type ResolvedSecurity } from "../config/index.ts";
import type { Logger } from "../runs/index.ts";
import {
  type Authenticator,
  CertificateAuthenticator,
  createJwtAuthenticator,
  ExpressionError,
} from "../security/index.ts";

/** What a server looks after while it listens. */
export interface Followed {
  /** Looks at once whether it has changed. */
  check(): void;
  close(): void;
}

export interface ConfiguredAuthenticators {
  readonly authenticators: readonly Authenticator[];
  readonly followed: readonly Followed[];
}

/**
 * Those for the tokens and certificates of the configuration.
 *
 * @throws ConfigError for expressions and files that cannot be used
 */
export async function createAuthenticators(
  { jwt, mtls }: Pick<ResolvedSecurity, "jwt" | "mtls">,
  options: { readonly clock: Clock; readonly log: Logger },
): Promise<ConfiguredAuthenticators> {
  try {
    const certificates = mtls.length > 0 ? [new CertificateAuthenticator(mtls, options)] : [];
    const tokens = jwt.length > 0 ? [await createJwtAuthenticator(jwt, options)] : [];
    return { authenticators: [...tokens, ...certificates], followed: tokens };
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    const { field, problem } = error;
    throw new ConfigError("configuration", [{ field, message: problem }], { cause: error });
  }
}
