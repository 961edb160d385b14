import { AsyncLocalStorage } from "node:async_hooks";
import type { Accepted, Failure } from "../../gen/retake/v1/run_pb.js";
import type { Turn } from "./handler.ts";

/** One attempt of a handler in this process, as whatever it has set going knows it. */
export class AttemptScope {
  readonly accepted: Accepted;
  readonly attempt: number;
  readonly token: string;
  /** Texts of its request that the log must not have. */
  readonly withheld: readonly string[];
  /** Fails the attempt, and returns whether it was still to be failed; absent once it has ended. */
  fail: ((failure: Failure) => boolean) | undefined;
  /** Let go of at the end: what the handler leaves behind keeps its scope for as long as it likes. */
  #turn: Pick<Turn, "concluded"> | undefined;

  constructor(
    accepted: Accepted,
    attempt: number,
    token: string,
    withheld: readonly string[],
    turn: Pick<Turn, "concluded">,
  ) {
    this.accepted = accepted;
    this.attempt = attempt;
    this.token = token;
    this.withheld = withheld;
    this.#turn = turn;
  }

  /** Whether its run goes on without it, though its handler may work on. */
  get isOver(): boolean {
    return this.#turn === undefined || this.#turn.concluded;
  }

  end(): void {
    this.fail = undefined;
    this.#turn = undefined;
  }
}

/** Tells to which attempt of a handler the code belongs that runs right now, behind promises, timers and events too. */
export class AttemptScopes {
  readonly #scopes = new AsyncLocalStorage<AttemptScope>();

  get current(): AttemptScope | undefined {
    return this.#scopes.getStore();
  }

  enter<T>(scope: AttemptScope, work: () => T): T {
    return this.#scopes.run(scope, work);
  }
}
