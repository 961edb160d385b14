import { BreakerState } from "../../../gen/retake/v1/breaker_pb.js";
import type { Workflow } from "../../contract/index.ts";
import type {
  Breaker,
  BreakerRefusal,
  Breakers,
  EndpointSlots,
  Gates,
  Hold,
  Outcome,
  Pausable,
  Permit,
  PermitRequest,
  RetryBudget,
  RetryBudgets,
  RunOwner,
  RunRequest,
  Turn,
  Verdict,
} from "../../runs/index.ts";
import {
  holdAtBreaker,
  leavesOnOpen,
  type Pauses,
  parked,
  pauseReason,
  type RunInterceptor,
  verdictOf,
} from "../../runs/index.ts";
import { createPermitLimits, type PermitLimits } from "./permit-limits.ts";

export interface GateOptions {
  readonly gates: Gates;
  readonly pauses: Pick<Pauses, "of" | "keeps">;
  readonly breakers: Pick<Breakers, "of" | "withdraw">;
  readonly retryBudgets: Pick<RetryBudgets, "of" | "withdraw">;
  /** Attempts at once, over all workflows. */
  readonly concurrencyLimit: number;
  /** Where the attempts of a workflow can be made; one of them only where there is no other. */
  endpoints(workflow: Workflow, avoided?: string): readonly EndpointSlots[];
  /** The workflow of this name as it is today; undefined when there is none any more. */
  workflow(name: string): Workflow | undefined;
}

interface HoldOptions extends GateOptions {
  readonly limitsOf: PermitLimits;
}

/** Of a run that was accepted before runs had owners. */
const nobody: RunOwner = { tenant: "", subject: "" };

/**
 * Lets an attempt through when the server, its workflow, its owner's share and an endpoint have room, all together, and
 * neither its breaker nor, for a retry, the budget of its back-end says no. The permit is kept until the back-end has
 * really stopped, or its attempt's time is over: that of an attempt that has failed by what its handler left to nobody, when
 * the `cancel_grace` is. While its workflow is paused, a run is parked.
 */
export function gate(options: GateOptions): RunInterceptor {
  const { gates, pauses, breakers, retryBudgets } = options;
  const limitsOf = createPermitLimits(options.concurrencyLimit);
  const holdOptions: HoldOptions = { ...options, limitsOf };
  return (next) => async (request) => {
    const { run, workflow, turn } = request;
    const pause = pauses.of(workflow.name);
    const { runId } = run.accepted;
    if (pause !== undefined) {
      gates.withdraw(runId);
      breakers.withdraw(runId);
      retryBudgets.withdraw(runId);
      pauses.keeps(runId, workflow.name);
      return { kind: "waiting", wakeAtMs: undefined, events: [parked("pause", pauseReason(pause))] };
    }
    const breaker = breakers.of(workflow);
    const refusal = breaker?.refusal(runId);
    if (breaker !== undefined && refusal !== undefined) {
      gates.withdraw(runId);
      retryBudgets.withdraw(runId);
      return refused(refusal, breaker, request);
    }
    const budget = retryBudgets.of(workflow);
    // A trial of the breaker is one attempt at a time already, and nobody else goes before it has ended.
    const isTrial = breaker?.state === BreakerState.HALF_OPEN;
    if (budget !== undefined && run.countedFailures > 0 && !isTrial && !budget.admit(runId)) {
      gates.withdraw(runId);
      return { kind: "blocked", gate: "retry_budget", reason: "its back-end has no retries left for now" };
    }
    const owner = run.accepted.owner ?? nobody;
    const wish: PermitRequest = {
      runId,
      owner,
      priority: run.accepted.priority,
      limits: limitsOf(workflow, owner),
      endpoints: options.endpoints(workflow, request.avoidedEndpoint),
    };
    const answer = gates.acquire(wish);
    const permit = answer instanceof Promise ? await answer : answer;
    if (permit.kind === "blocked") {
      return permit satisfies Outcome;
    }
    // It may have opened while the permit was waited for.
    const late = breaker?.refusal(runId);
    if (breaker !== undefined && late !== undefined) {
      gates.release(permit);
      retryBudgets.withdraw(runId);
      return refused(late, breaker, request);
    }
    const attemptsBefore = run.attempts;
    const hold = new PermitHold(holdOptions, wish, workflow, permit, turn);
    const isJudged = breaker !== undefined || budget !== undefined;
    if (isJudged) {
      hold.judges = { breaker, generation: breaker?.generation ?? 0, budget };
    }
    turn.pausables.push(hold);
    turn.hold = hold;
    try {
      const outcome = await next({ ...request, permit });
      if (isJudged) {
        hold.settle(run.attempts === attemptsBefore ? undefined : verdictOf(outcome, turn));
      }
      return outcome;
    } finally {
      hold.end();
      hold.settle(undefined);
    }
  };
}

/** Behind those that a closed breaker lets go in waves a run waits whatever its policy says of open ones. */
function refused(refusal: BreakerRefusal, breaker: Breaker, { run, workflow }: RunRequest): Outcome {
  const { open, reason, notBeforeMs } = refusal;
  return open
    ? { kind: "blocked", gate: "breaker", reason, notBeforeMs }
    : holdAtBreaker(breaker, run, reason, leavesOnOpen(run, workflow.policy));
}

/** Those who are told how an attempt has ended. */
interface Judges {
  readonly breaker: Breaker | undefined;
  /** The breaker's, when the attempt began. */
  readonly generation: number;
  readonly budget: RetryBudget | undefined;
}

/** The permit of one attempt: given back while it waits for a child, and for good at its end. */
class PermitHold implements Pausable, Hold {
  readonly #options: HoldOptions;
  readonly #wish: PermitRequest;
  readonly #workflow: Workflow;
  readonly #turn: Turn;
  /** Where the attempt works, from its beginning to its end. */
  readonly #endpoint: string;
  #permit: Permit | undefined;
  #isOver = false;
  /** Counts pauses and returns from them: a return that is overtaken gives up. */
  #round = 0;
  #poke: (() => void) | undefined;
  judges: Judges | undefined;

  constructor(options: HoldOptions, wish: PermitRequest, workflow: Workflow, permit: Permit, turn: Turn) {
    this.#options = options;
    this.#wish = wish;
    this.#workflow = workflow;
    this.#permit = permit;
    this.#endpoint = permit.endpoint;
    this.#turn = turn;
  }

  /** The attempt has ended; the first verdict counts. */
  settle(verdict: Verdict): void {
    const { judges } = this;
    if (judges !== undefined) {
      this.judges = undefined;
      judges.breaker?.settle(this.#wish.runId, judges.generation, verdict);
      judges.budget?.settle(this.#wish.runId, verdict);
    }
  }

  pause(): void {
    this.#round++;
    if (this.#permit === undefined) {
      // It may stand in line, and a place that is kept for it would be nobody's.
      this.#options.gates.withdraw(this.#wish.runId);
      this.#poke?.();
    } else {
      this.#options.gates.release(this.#permit);
      this.#permit = undefined;
    }
  }

  /** Waits in line like everybody else: the scheduler asks for a turn of the run when its place is free. */
  async resume(): Promise<void> {
    const { gates } = this.#options;
    const round = ++this.#round;
    while (round === this.#round && this.#permit === undefined) {
      const poked = Promise.withResolvers<void>();
      this.#poke = poked.resolve;
      this.#turn.onPoke = poked.resolve;
      const answer = await gates.acquire(this.#wishOfNow());
      if (answer.kind === "permit") {
        if (round === this.#round) {
          this.#permit = answer;
        } else {
          // The attempt has ended, or waits again.
          gates.release(answer);
        }
      } else if (this.#turn.abortReason !== undefined) {
        gates.withdraw(this.#wish.runId);
        break;
      } else {
        await poked.promise;
      }
    }
    if (round === this.#round) {
      this.#turn.onPoke = undefined;
      this.#poke = undefined;
    }
  }

  /** The slots of its endpoint, and how many attempts are let through at once, may have changed since. */
  #wishOfNow(): PermitRequest {
    const options = this.#options;
    const workflow = options.workflow(this.#workflow.name) ?? this.#workflow;
    const { owner } = this.#wish;
    const endpoints = options.endpoints(workflow);
    const own = endpoints.filter(({ endpoint }) => endpoint === this.#endpoint);
    // One that has been taken out of the configuration has no slots any more.
    return { ...this.#wish, limits: options.limitsOf(workflow, owner), endpoints: own.length > 0 ? own : endpoints };
  }

  end(): void {
    if (this.#isOver) {
      // The run may wait for the permit of its next attempt by now, while the back-end of this one stops at last.
      return;
    }
    this.#isOver = true;
    this.pause();
    if (this.#turn.abortReason !== undefined) {
      // Its back-end may never stop, and others wait for what becomes of it.
      this.settle(undefined);
    }
  }
}
