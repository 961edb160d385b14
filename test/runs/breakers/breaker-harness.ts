import { type BreakerEvent, BreakerState } from "../../../gen/retake/v1/breaker_pb.js";
import type { ResolvedCircuitBreaker } from "../../../src/contract/index.ts";
import { Breaker, type Fitness, type Verdict } from "../../../src/runs/breakers/breaker.ts";
import { createVirtualClock, type VirtualClock } from "../../../src/testing/index.ts";

export const policy: ResolvedCircuitBreaker = {
  errorThresholdPercentage: 50,
  volumeThreshold: 3,
  resetTimeoutMs: 30_000,
  windowMs: 60_000,
  successThreshold: 1,
  onOpen: "by-mode",
};

export interface BreakerHarness {
  readonly breaker: Breaker;
  readonly clock: VirtualClock;
  readonly woken: string[];
  readonly events: BreakerEvent[];
  /** What `trialSuccesses` was each time that it was to be kept. */
  readonly trials: number[];
  state(): string;
  /** Makes an attempt that ends at once; false where the breaker does not let it through. */
  attempt(verdict: Verdict, runId?: string): boolean;
  /** Lets an attempt begin that the test ends. */
  begin(runId: string): (verdict: Verdict) => void;
  /** Makes it open by its policy. */
  trip(): void;
}

export function createBreaker(
  options: {
    readonly policy?: Partial<ResolvedCircuitBreaker>;
    readonly clock?: VirtualClock;
    readonly left?: BreakerEvent;
    readonly probe?: () => Promise<Fitness | undefined> | undefined;
  } = {},
): BreakerHarness {
  const clock = options.clock ?? createVirtualClock();
  const woken: string[] = [];
  const events: BreakerEvent[] = [];
  const trials: number[] = [];
  const breaker = new Breaker({
    workflow: "a.B/C",
    backend: "gpu:1",
    policy: { ...policy, ...options.policy },
    clock,
    wake: (runId) => woken.push(runId),
    onTransition: (event) => events.push(event),
    onTrial: () => trials.push(breaker.trialSuccesses),
    probe: options.probe ?? (() => undefined),
  });
  if (options.left !== undefined) breaker.restore(options.left);
  breaker.start();
  let attempts = 0;
  const begin = (runId: string) => {
    const { generation } = breaker;
    return (verdict: Verdict) => breaker.settle(runId, generation, verdict);
  };
  const attempt = (verdict: Verdict, runId = `run ${++attempts}`): boolean => {
    if (breaker.refusal(runId) !== undefined) return false;
    begin(runId)(verdict);
    return true;
  };
  return {
    breaker,
    clock,
    woken,
    events,
    trials,
    state: () => BreakerState[breaker.state],
    attempt,
    begin,
    trip: () => {
      for (let failures = 0; breaker.state === BreakerState.CLOSED; failures++) {
        if (failures > 100) throw new Error("it does not open");
        attempt("failure");
      }
    },
  };
}
