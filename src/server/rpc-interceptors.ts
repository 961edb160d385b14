import type { Interceptor } from "@connectrpc/connect";
import { UnknownFields } from "../../gen/retake/v1/input_config_pb.js";
import type { Clock, RandomSource } from "../clock.ts";
import type { ResolvedConfig } from "../config/index.ts";
import type { ContractRegistry } from "../contract/index.ts";
import {
  authenticate,
  errors,
  limitRates,
  type RequestValidator,
  refuseUnknownFields,
  validateRequests,
} from "../interceptors/rpc/index.ts";
import type { Logger } from "../runs/index.ts";
import { type Authenticator, anonymous, isForSources, RateLimits } from "../security/index.ts";

export interface RpcInterceptorOptions {
  readonly config: ResolvedConfig;
  readonly authenticators: readonly Authenticator[];
  readonly validator: RequestValidator;
  readonly contracts: Pick<ContractRegistry, "workflows">;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
}

/** What every call passes on its way in, the first listed outermost. */
export function rpcInterceptors(options: RpcInterceptorOptions): readonly Interceptor[] {
  const { config, authenticators, validator, clock, random, log } = options;
  return [
    errors({ clock, random, log }),
    ...rateLimits(options, false),
    authenticate({ authenticators, anonymous: { ...anonymous, level: config.security.anonymousLevel } }),
    ...rateLimits(options, true),
    ...(config.security.input.unknownFields === UnknownFields.REFUSE ? [refuseUnknownFields()] : []),
    validateRequests(validator),
  ];
}

/** Those that can be asked before it is known who calls are asked then: wrong credentials cost time too. */
function rateLimits(
  { config, contracts, clock }: RpcInterceptorOptions,
  authenticated: boolean,
): readonly Interceptor[] {
  const rules = config.security.rateLimits.filter((rule) => isForSources(rule) !== authenticated);
  if (rules.length === 0) return [];
  const limits = new RateLimits(rules, clock);
  return [limitRates({ limits, authenticated, isWorkflow: (name) => contracts.workflows.has(name) })];
}
