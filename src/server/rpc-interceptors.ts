import type { Interceptor } from "@connectrpc/connect";
import { RunService } from "../../gen/retake/v1/run_service_pb.js";
import type { Clock, RandomSource } from "../clock.ts";
import type { ResolvedConfig } from "../config/index.ts";
import { type ContractRegistry, workflowName } from "../contract/index.ts";
import {
  auditCalls,
  auditDenials,
  authenticate,
  authorize,
  endWithCredentials,
  errors,
  limitRates,
  type RequestValidator,
  refuseUnknownFields,
  validateRequests,
} from "../interceptors/rpc/index.ts";
import type { Logger } from "../runs/index.ts";
import {
  type AccessControl,
  type Audit,
  type Authenticator,
  anonymous,
  type CallLimits,
  type Lockout,
  type RateLimits,
} from "../security/index.ts";
import { auditedChanges } from "./audited-changes.ts";
import { refusesUnknown } from "./own-requests.ts";

export interface RpcInterceptorOptions {
  readonly config: ResolvedConfig;
  readonly authenticators: readonly Authenticator[];
  /** Absent where nobody is slowed down or locked out. */
  readonly lockout?: Lockout | undefined;
  readonly audit: Audit;
  readonly access: AccessControl;
  readonly limits: CallLimits;
  readonly validator: RequestValidator;
  readonly contracts: Pick<ContractRegistry, "workflows">;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
}

/** Finds out who calls, and whether that is too often: the first of what every call passes, the first listed outermost. */
export function entryInterceptors(
  options: Omit<RpcInterceptorOptions, "access" | "validator">,
): readonly Interceptor[] {
  const { config, authenticators, lockout, audit, limits, clock, random, log } = options;
  return [
    errors({ clock, random, log, onError: auditDenials(audit) }),
    // Before it is known who calls: wrong credentials cost time too.
    ...limitedBy(limits.ofSources, false, options),
    authenticate({
      authenticators,
      anonymous: { ...anonymous, level: config.security.anonymousLevel },
      lockout,
      audit,
    }),
    ...limitedBy(limits.ofCallers, true, options),
  ];
}

/** What every call passes on its way in, the first listed outermost. */
export function rpcInterceptors(options: RpcInterceptorOptions): readonly Interceptor[] {
  const { config, audit, access, validator, clock } = options;
  const startRun = workflowName(RunService.method.startRun);
  return [
    ...entryInterceptors(options),
    authorize(access),
    endWithCredentials(clock),
    refuseUnknownFields(refusesUnknown(config.security.input)),
    validateRequests(validator),
    auditCalls({
      audit,
      changes: auditedChanges,
      // Methods of contracts start runs, as StartRun does.
      isRecorded: (method) =>
        !/^(?:retake\.v1|grpc)\./.test(method.parent.typeName) || workflowName(method) === startRun,
    }),
  ];
}

function limitedBy(
  limits: RateLimits | undefined,
  authenticated: boolean,
  { contracts }: Pick<RpcInterceptorOptions, "contracts">,
): readonly Interceptor[] {
  if (limits === undefined) return [];
  return [limitRates({ limits, authenticated, isWorkflow: (name) => contracts.workflows.has(name) })];
}
