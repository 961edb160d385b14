import type { ConnectError } from "@connectrpc/connect";
import type { Clock } from "../../clock.ts";
import type { ResolvedRateLimit } from "../../config/index.ts";
import { type CountedCall, isForSources, RateLimits } from "./rate-limits.ts";

/** All limits of a server, by the stage at which they are asked. */
export class CallLimits {
  /** Those that can be asked before it is known who calls; absent where there are none. */
  readonly ofSources: RateLimits | undefined;
  /** The others. */
  readonly ofCallers: RateLimits | undefined;

  constructor(rules: readonly ResolvedRateLimit[], clock: Clock) {
    const limits = (forSources: boolean): RateLimits | undefined => {
      const those = rules.filter((rule) => isForSources(rule) === forSources);
      return those.length === 0 ? undefined : new RateLimits(those, clock);
    };
    this.ofSources = limits(true);
    this.ofCallers = limits(false);
  }

  /**
   * Counts what a call of another method starts of a workflow: where workflows are told apart only, since everywhere else
   * that call has counted.
   */
  refusalOfStart(start: CountedCall): ConnectError | undefined {
    return this.ofSources?.refusalOfStart(start) ?? this.ofCallers?.refusalOfStart(start);
  }
}
