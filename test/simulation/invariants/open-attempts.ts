import type { RunEvent } from "../../../gen/retake/v1/run_pb.js";
import type { MethodName } from "../plan/plan.ts";
import { methodOf } from "../world/history.ts";
import type { AttemptSight } from "../world/witness.ts";
import type { World } from "../world/world.ts";

export interface OpenAttempt {
  readonly runId: string;
  readonly method: MethodName;
  readonly startedMs: number;
  /** Absent until its back-end is called. */
  sight?: AttemptSight;
  /** A drill has hit it. */
  isHit: boolean;
}

/** The attempts of the server of the moment, as its appends tell of them. */
export class OpenAttempts {
  readonly #world: Pick<World, "clock" | "chronicle">;
  readonly #methods = new Map<string, MethodName>();
  readonly #open = new Map<string, OpenAttempt>();

  constructor(world: Pick<World, "clock" | "chronicle">) {
    this.#world = world;
  }

  /** There is another server. */
  starting(): void {
    this.#open.clear();
  }

  called(sight: AttemptSight): void {
    const attempt = this.#open.get(sight.runId);
    if (attempt !== undefined) {
      attempt.sight = sight;
    }
  }

  /** Takes in an event. Returns the attempt that it ends, or whose run it cancels. */
  take(runId: string, { event }: RunEvent): OpenAttempt | undefined {
    const open = this.#open.get(runId);
    switch (event.case) {
      case "accepted":
        this.#methods.set(runId, methodOf(event.value.workflow));
        return undefined;
      case "attemptStarted":
        this.#open.set(runId, {
          runId,
          method: this.methodOf(runId),
          startedMs: this.#world.clock.monotonic(),
          isHit: false,
        });
        return undefined;
      case "faultInjected":
        if (open !== undefined) {
          open.isHit = true;
        }
        return undefined;
      case "attemptFailed":
      case "succeeded":
      case "cancelRequested":
      case "expired":
        this.#open.delete(runId);
        return open;
      default:
        return undefined;
    }
  }

  methodOf(runId: string): MethodName {
    const method = this.#methods.get(runId);
    if (method === undefined) {
      throw new Error(`nobody has seen how run ${runId} was accepted`);
    }
    return method;
  }

  /** Those whose end the journal does not tell. */
  get open(): readonly OpenAttempt[] {
    return [...this.#open.values()];
  }

  /**
   * Whether it may have come to its end already: that is appended a little later, and not at all where its start could
   * not be stored.
   */
  mayBeOver({ sight, isHit, startedMs }: OpenAttempt): boolean {
    const { clock, chronicle } = this.#world;
    const nowMs = clock.monotonic();
    return (
      isHit ||
      (sight === undefined ? !chronicle.isCalm(startedMs, nowMs) : sight.endedMs <= nowMs || sight.signal.aborted)
    );
  }
}
