import type { Interceptor } from "@connectrpc/connect";
import type { Clock, RandomSource } from "../clock.ts";
import type { ResolvedConfig } from "../config/index.ts";
import { authenticate, errors, type RequestValidator, validateRequests } from "../interceptors/rpc/index.ts";
import type { Logger } from "../runs/index.ts";
import { type Authenticator, anonymous } from "../security/index.ts";

export interface RpcInterceptorOptions {
  readonly config: ResolvedConfig;
  readonly authenticators: readonly Authenticator[];
  readonly validator: RequestValidator;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
}

/** What every call passes on its way in, the first listed outermost. */
export function rpcInterceptors(options: RpcInterceptorOptions): readonly Interceptor[] {
  const { config, authenticators, validator, clock, random, log } = options;
  return [
    errors({ clock, random, log }),
    authenticate({ authenticators, anonymous: { ...anonymous, level: config.security.anonymousLevel } }),
    validateRequests(validator),
  ];
}
