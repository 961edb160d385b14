import { Code } from "@connectrpc/connect";
import type { BreakerEvent } from "../../../gen/retake/v1/breaker_pb.js";
import { FailureCategory } from "../../../gen/retake/v1/options_pb.js";
import type { Failure } from "../../../gen/retake/v1/run_pb.js";
import type { MethodName } from "../plan/plan.ts";
import type { BreakerPlan } from "../plan/policy-plan.ts";
import { assert, type Invariant } from "../world/witness.ts";
import { BreakerStates, type KnownBreaker, read } from "./breaker-states.ts";
import { OpenAttempts } from "./open-attempts.ts";
import { roundingMs } from "./times.ts";

/** What has happened since a breaker came to its state. */
interface Tally {
  started: number;
  /** When attempts failed for which their back-ends are to blame. */
  readonly failuresMs: number[];
  /** When one has last succeeded. */
  successMs: number;
}

export const breakerTransitions: Invariant = {
  name: "a breaker opens, tries and closes as its policy says",
  witness: (world) => {
    const { plan, clock } = world;
    const states = new BreakerStates(clock);
    const attempts = new OpenAttempts(world);
    const tallies = new Map<MethodName, Tally>();
    /** Trials that have succeeded at earlier servers, of breakers that they have left half-open. */
    const leftSuccesses = new Map<MethodName, number>();
    const tallyOf = (method: MethodName): Tally => {
      const tally = tallies.get(method) ?? {
        started: 0,
        failuresMs: [],
        successMs: Number.NEGATIVE_INFINITY,
      };
      tallies.set(method, tally);
      return tally;
    };
    const assertOpens = (method: MethodName, policy: BreakerPlan): void => {
      const { state, isForced } = states.of(method);
      const nowMs = clock.monotonic();
      // Its window is made of ten pieces, the oldest of which is forgotten as a whole.
      const { failuresMs, successMs } = tallyOf(method);
      const recent = failuresMs.filter((atMs) => nowMs - atMs < policy.windowMs * 0.8);
      assert(
        nowMs - successMs < policy.windowMs * 1.2 ||
          isForced ||
          state !== "closed" ||
          recent.length < policy.volumeThreshold,
        `the breaker of ${method} is closed after ${recent.length} failures and no success, and opens after ${policy.volumeThreshold}`,
      );
    };
    return {
      starting(left) {
        states.starting(left);
        attempts.starting();
        tallies.clear();
        leftSuccesses.clear();
        for (const [method, event] of left) {
          leftSuccesses.set(method, read(event).successes);
        }
      },
      called: (sight) => attempts.called(sight),
      transitioned(method, event) {
        const policy = plan.policies[method].breaker;
        assert(policy !== undefined, `${method} has no breaker, and it has made a transition`);
        assertAllowed(states.of(method), event, { method, policy, tally: tallyOf(method), nowMs: clock.monotonic() });
        states.transitioned(method, event);
        tallies.delete(method);
        leftSuccesses.delete(method);
      },
      tried(method, event) {
        const { state, generation, successes } = states.of(method);
        const where = `a trial of the breaker of ${method} makes ${read(event).successes} of ${successes} that have succeeded,`;
        assert(state === "half-open" && event.generation === generation, `${where} and it is ${state}`);
        assert(read(event).successes === successes + 1, `${where} over all servers`);
        const { started } = tallyOf(method);
        const left = leftSuccesses.get(method) ?? 0;
        assert(read(event).successes - left <= started, `${where} and ${started} have been made by this server`);
        states.tried(method, event);
      },
      appended(runId, events) {
        for (const event of events) {
          const ended = attempts.take(runId, event);
          if (event.event.case === "attemptStarted") {
            tallyOf(attempts.methodOf(runId)).started += 1;
          }
          if (ended === undefined || ended.startedMs < states.of(ended.method).sinceMs) {
            continue;
          }
          const tally = tallyOf(ended.method);
          const policy = plan.policies[ended.method].breaker;
          if (event.event.case === "succeeded") {
            tally.successMs = clock.monotonic();
          } else if (event.event.case === "attemptFailed" && event.event.value.counted && policy !== undefined) {
            if (isToBlame(event.event.value.failure)) {
              tally.failuresMs.push(clock.monotonic());
              assertOpens(ended.method, policy);
            }
          }
        }
      },
    };
  },
};

interface Surroundings {
  readonly method: MethodName;
  readonly policy: BreakerPlan;
  readonly tally: Tally;
  readonly nowMs: number;
}

function assertAllowed(from: KnownBreaker, event: BreakerEvent, { method, policy, tally, nowMs }: Surroundings): void {
  const to = read(event);
  const where = `transition ${event.generation} of the breaker of ${method}, from ${from.state} to ${to.state},`;
  assert(event.generation === from.generation + 1n, `${where} follows transition ${from.generation}`);
  if (to.isForced || from.isForced) {
    const isLetGo = to.isForced || (to.state === "closed" ? from.state === "closed" : from.state === "open");
    assert(isLetGo, `${where} is not what an operator has asked for`);
    return;
  }
  switch (to.state) {
    case "open":
      assert(from.state !== "open", `${where} changes nothing`);
      assert(
        // The attempt that was one too many is told of after this.
        from.state !== "closed" || tally.started >= policy.volumeThreshold,
        `${where} comes after ${tally.started} attempts, and ${policy.volumeThreshold} count`,
      );
      return;
    case "half-open": {
      const openMs = nowMs - from.sinceMs;
      assert(
        from.state === "open" && (from.isLeft || openMs >= policy.resetTimeoutMs - roundingMs),
        `${where} comes after ${openMs} ms, and ${policy.resetTimeoutMs} is its reset time-out`,
      );
      return;
    }
    case "closed":
      assert(from.state === "half-open", `${where} is not allowed`);
      // The one that was missing is told of by this.
      assert(
        tally.started > 0 && from.successes + 1 === policy.successThreshold,
        `${where} comes after ${from.successes} trials and one of ${tally.started}, and ${policy.successThreshold} must succeed`,
      );
  }
}

const blamed: ReadonlySet<Code | undefined> = new Set([Code.Unavailable, Code.ResourceExhausted, Code.Internal]);

function isToBlame(failure: Failure | undefined): boolean {
  return blamed.has(failure?.code) && failure?.category !== FailureCategory.VALIDATION;
}
