import type { Workflow } from "../../contract/index.ts";
import type {
  EndpointSlots,
  Gates,
  Hold,
  Limit,
  Outcome,
  Pausable,
  Permit,
  PermitRequest,
  Turn,
} from "../../runs/index.ts";
import { type Pauses, parked, pauseReason, type RunInterceptor, workflowLimitKey } from "../../runs/index.ts";

export interface GateOptions {
  readonly gates: Gates;
  readonly pauses: Pick<Pauses, "of">;
  /** Attempts at once, over all workflows. */
  readonly concurrencyLimit: number;
  /** Where the attempts of a workflow can be made; one of them only where there is no other. */
  endpoints(workflow: Workflow, avoided?: string): readonly EndpointSlots[];
}

/**
 * Lets an attempt through when the server, its workflow and an endpoint have room, all three together. The permit is kept
 * until the back-end has really stopped, or its attempt's time is over. While its workflow is paused, a run is parked.
 */
export function gate(options: GateOptions): RunInterceptor {
  const { gates, pauses } = options;
  const limits = new WeakMap<Workflow, readonly Limit[]>();
  const limitsOf = (workflow: Workflow): readonly Limit[] => {
    let known = limits.get(workflow);
    if (known === undefined) {
      known = [
        { key: "server", gate: "server", limit: options.concurrencyLimit },
        { key: workflowLimitKey(workflow.name), gate: "workflow", limit: workflow.policy.concurrency.limit },
      ];
      limits.set(workflow, known);
    }
    return known;
  };
  return (next) => async (request) => {
    const { run, workflow, turn } = request;
    const pause = pauses.of(workflow.name);
    if (pause !== undefined) {
      gates.withdraw(run.accepted.runId);
      return { kind: "waiting", wakeAtMs: undefined, events: [parked("pause", pauseReason(pause))] };
    }
    const wish: PermitRequest = {
      runId: run.accepted.runId,
      priority: run.accepted.priority,
      limits: limitsOf(workflow),
      endpoints: options.endpoints(workflow, request.avoidedEndpoint),
    };
    const answer = gates.acquire(wish);
    const permit = answer instanceof Promise ? await answer : answer;
    if (permit.kind === "blocked") {
      return permit satisfies Outcome;
    }
    const hold = new PermitHold(options, wish, workflow, permit, turn);
    turn.pausables.push(hold);
    turn.hold = hold;
    try {
      return await next({ ...request, permit });
    } finally {
      hold.end();
    }
  };
}

/** The permit of one attempt: given back while it waits for a child, and for good at its end. */
class PermitHold implements Pausable, Hold {
  readonly #options: GateOptions;
  readonly #wish: PermitRequest;
  readonly #workflow: Workflow;
  readonly #turn: Turn;
  #permit: Permit | undefined;
  /** Counts pauses and returns from them: a return that is overtaken gives up. */
  #round = 0;
  #poke: (() => void) | undefined;

  constructor(options: GateOptions, wish: PermitRequest, workflow: Workflow, permit: Permit, turn: Turn) {
    this.#options = options;
    this.#wish = wish;
    this.#workflow = workflow;
    this.#permit = permit;
    this.#turn = turn;
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
    const { gates, endpoints } = this.#options;
    const round = ++this.#round;
    while (round === this.#round && this.#permit === undefined) {
      const poked = Promise.withResolvers<void>();
      this.#poke = poked.resolve;
      this.#turn.onPoke = poked.resolve;
      // Which endpoints there are, and are healthy, may have changed since.
      const wish = { ...this.#wish, endpoints: endpoints.call(this.#options, this.#workflow) };
      const answer = await gates.acquire(wish);
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

  end(): void {
    this.pause();
  }
}
