import { AsyncLocalStorage } from "node:async_hooks";
import type { Accepted, Failure } from "../../gen/retake/v1/run_pb.js";

/** One attempt of a handler in this process, as whatever it has set going knows it. */
export class AttemptScope {
  readonly accepted: Accepted;
  readonly attempt: number;
  readonly token: string;
  /** Texts of its request that the log must not have. */
  readonly withheld: readonly string[];
  /** Ends the attempt, and returns whether it was still to be ended; absent once it is over. */
  fail: ((failure: Failure) => boolean) | undefined;

  constructor(accepted: Accepted, attempt: number, token: string, withheld: readonly string[]) {
    this.accepted = accepted;
    this.attempt = attempt;
    this.token = token;
    this.withheld = withheld;
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
