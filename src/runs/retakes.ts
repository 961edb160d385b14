/**
 * The runs that wait to be retaken: for the end of their backoff, for their back-end to recover, or for a retry budget. Each
 * is as much held work as one that waits to be let through. What the journal says of them, counted.
 */
export class Retakes {
  readonly #workflows = new Map<string, string>();
  readonly #counts = new Map<string, number>();

  get size(): number {
    return this.#workflows.size;
  }

  /** How many runs of a workflow wait. */
  waiting(workflow: string): number {
    return this.#counts.get(workflow) ?? 0;
  }

  /** A run waits, until it is withdrawn. */
  add(runId: string, workflow: string): void {
    if (!this.#workflows.has(runId)) {
      this.#workflows.set(runId, workflow);
      this.#counts.set(workflow, this.waiting(workflow) + 1);
    }
  }

  /** A run waits no more. */
  withdraw(runId: string): void {
    const workflow = this.#workflows.get(runId);
    if (workflow === undefined) {
      return;
    }
    this.#workflows.delete(runId);
    const left = this.waiting(workflow) - 1;
    if (left > 0) {
      this.#counts.set(workflow, left);
    } else {
      this.#counts.delete(workflow);
    }
  }
}
