import type { Clock } from "../clock.ts";
import type { Workflow } from "../contract/index.ts";
import type { Scheduler } from "./ports/scheduler.ts";
import { RetryBudget, type RetryBudgetOptions, type RetryBudgetPlace } from "./retry-budget.ts";

export interface RetryBudgetsOptions {
  readonly scheduler: Pick<Scheduler, "wake">;
  readonly clock: Clock;
}

/** The budget of one back-end; services that share the back-end share it. */
export interface BackendBudget extends RetryBudgetOptions {
  /** Names the back-end. */
  readonly backend: string;
}

/** The retry budgets of all back-ends that have one. */
export class RetryBudgets {
  readonly #options: RetryBudgetsOptions;
  readonly #byBackend = new Map<string, RetryBudget>();
  #byService: ReadonlyMap<string, RetryBudget> = new Map();
  /** Called when one is so far spent that retries wait, or was, and changes. Must not throw. */
  onThrottled: (() => void) | undefined;

  constructor(options: RetryBudgetsOptions) {
    this.#options = options;
  }

  /** From now on these are the budgets, by service. A back-end that had one before keeps its tokens. */
  configure(services: ReadonlyMap<string, BackendBudget>): void {
    const { clock, scheduler } = this.#options;
    const byService = new Map<string, RetryBudget>();
    const kept = new Set<string>();
    for (const [service, settings] of services) {
      const { backend } = settings;
      let budget = this.#byBackend.get(backend);
      if (budget === undefined) {
        budget = new RetryBudget(
          settings,
          clock,
          (runId) => scheduler.wake(runId, 0),
          () => this.onThrottled?.(),
        );
        this.#byBackend.set(backend, budget);
      } else if (!kept.has(backend)) {
        budget.adopt(settings);
      }
      kept.add(backend);
      byService.set(service, budget);
    }
    for (const [backend, budget] of this.#byBackend) {
      if (!kept.has(backend)) {
        budget.open();
        this.#byBackend.delete(backend);
      }
    }
    this.#byService = byService;
  }

  /** Goes on from what was left of a budget some time ago. Nothing where its back-end has none any more. */
  restore(backend: string, tokens: number, agoMs: number): void {
    this.#byBackend.get(backend)?.restore(tokens, agoMs);
  }

  /** The budget that a workflow's retries need, if any. */
  of({ service }: Workflow): RetryBudget | undefined {
    return this.#byService.size === 0 ? undefined : this.#byService.get(service.typeName);
  }

  /** By the name of their back-ends. */
  list(): [backend: string, budget: Pick<RetryBudget, "tokens" | "waiting">][] {
    return [...this.#byBackend].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** What a run waits for here; undefined when it does not. */
  place(runId: string): RetryBudgetPlace | undefined {
    for (const budget of this.#byBackend.values()) {
      const place = budget.place(runId);
      if (place !== undefined) {
        return place;
      }
    }
    return undefined;
  }

  /** A run will make no retry. */
  withdraw(runId: string): void {
    for (const budget of this.#byBackend.values()) {
      budget.withdraw(runId);
    }
  }

  /** Nobody is woken any more, and no timer is left behind. */
  close(): void {
    for (const budget of this.#byBackend.values()) {
      budget.close();
    }
  }
}
