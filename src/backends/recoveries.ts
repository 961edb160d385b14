import { ConnectError } from "@connectrpc/connect";
import { RecoveryAction } from "../../gen/retake/v1/options_pb.js";
import type { Clock } from "../clock.ts";
import type { ResolvedRecoveryRule } from "../contract/index.ts";
import { type FailedAttempt, type RecoveryStep, type RunRequest, within } from "../runs/index.ts";
import type { FailedJob } from "./backend.ts";
import type { Endpoints } from "./endpoints.ts";

export interface RecoveriesOptions {
  readonly endpoints: Pick<Endpoints, "backend" | "switchFrom">;
  readonly clock: Clock;
  /** What a run has waited for has ended. */
  readonly wake: (runId: string, priority: number) => void;
}

/** What came of an action: empty when it is done, else why it could not be. */
interface RecoveryOutcome {
  readonly error: string;
}

/** An action that goes on, or has ended. */
interface Flight {
  readonly action: RecoveryAction;
  readonly endpoint: string;
  readonly timeoutMs: number;
  readonly waiting: Set<string>;
  /** Undefined while it goes on. */
  ended: Ended | undefined;
}

interface Ended {
  /** By the monotonic clock: the wall clock may jump. */
  readonly atMs: number;
  /** Undefined where the action is not offered. */
  readonly outcome: RecoveryOutcome | undefined;
}

/** What a run waits for, or has waited for and not asked about since. */
interface Visit {
  /** Of the attempt that has failed. */
  readonly token: string;
  readonly priority: number;
  readonly flight: Flight;
}

type Failed = Pick<RunRequest, "workflow" | "run"> & { readonly failed: FailedAttempt };

/**
 * Has endpoints do something about what attempts have failed with.
 *
 * 1. An action is under way at an endpoint once at a time: whoever needs it meanwhile waits for that one.
 * 2. It is not repeated for attempts that failed before it ended, or within its cool-down after that.
 * 3. No run is in memory while it waits, the one that it is done for neither: all are woken at its end, which comes by its
 *    time-out at the latest, and are told then what came of it. Whoever waits is forgotten with what it waits for.
 *
 * What is about one run alone, its job or where it goes next, is done for each.
 */
export class Recoveries {
  readonly #options: RecoveriesOptions;
  readonly #flights = new Map<string, Flight>();
  readonly #visits = new Map<string, Visit>();
  readonly #closing = new AbortController();

  constructor(options: RecoveriesOptions) {
    this.#options = options;
  }

  /**
   * Carries out the first of these rules that there is something to be done by, for an attempt that has failed: blocked
   * while that goes on, and what came of it for whoever asks again with the same rules. Undefined when nothing is left.
   */
  next(
    rules: readonly ResolvedRecoveryRule[],
    request: Pick<RunRequest, "workflow" | "run">,
    failed: FailedAttempt,
  ): RecoveryStep | undefined {
    const { runId, priority } = request.run.accepted;
    const visit = this.#visits.get(runId);
    let left = rules;
    if (visit !== undefined) {
      const { flight, token } = visit;
      const place = token === failed.token ? rules.findIndex(({ action }) => action === flight.action) : -1;
      if (place >= 0) {
        if (flight.ended === undefined) {
          return blockedBy(flight);
        }
        // Those before it were passed over when it began.
        left = rules.slice(place + 1);
      }
      this.withdraw(runId);
      if (place >= 0 && flight.ended?.outcome !== undefined) {
        return { kind: "acted", action: flight.action, ...flight.ended.outcome };
      }
    }
    for (const rule of left) {
      const flight = this.#flightFor(rule, { ...request, failed });
      if (flight !== undefined) {
        flight.waiting.add(runId);
        this.#visits.set(runId, { token: failed.token, priority, flight });
        return blockedBy(flight);
      }
    }
    return undefined;
  }

  /** Why a run waits here; undefined when it does not. */
  place(runId: string): { readonly reason: string } | undefined {
    const flight = this.#visits.get(runId)?.flight;
    return flight === undefined || flight.ended !== undefined ? undefined : blockedBy(flight);
  }

  /** A run will make no attempt. What is under way goes on. */
  withdraw(runId: string): void {
    this.#visits.get(runId)?.flight.waiting.delete(runId);
    this.#visits.delete(runId);
  }

  /** Waits for nothing that is under way. */
  close(): void {
    this.#closing.abort(new Error("the server stops"));
  }

  /** What an attempt's rule has to be waited for; undefined when it is passed over. */
  #flightFor({ action, timeoutMs, cooldownMs }: ResolvedRecoveryRule, request: Failed): Flight | undefined {
    const { endpoints, clock } = this.#options;
    const { workflow, failed } = request;
    const { endpoint } = failed;
    const begin = (perform: (signal: AbortSignal) => Promise<boolean>, key?: string): Flight => {
      const flight: Flight = { action, endpoint, timeoutMs, waiting: new Set(), ended: undefined };
      if (key !== undefined) {
        this.#flights.set(key, flight);
      }
      void this.#limited(timeoutMs, perform).then((outcome) => this.#end(flight, outcome, key));
      return flight;
    };
    if (action === RecoveryAction.SWITCH_ENDPOINT) {
      return begin(() => endpoints.switchFrom(workflow.service.typeName, endpoint));
    }
    const backend = endpoints.backend(endpoint);
    if (backend?.recover === undefined) {
      return undefined;
    }
    const job = jobOf(request);
    const perform = async (signal: AbortSignal) => (await backend.recover?.(action, job, signal)) ?? false;
    if (action === RecoveryAction.INTERRUPT) {
      return begin(perform);
    }
    const key = `${action} ${endpoint}`;
    const known = this.#flights.get(key);
    if (known !== undefined && known.ended === undefined) {
      return known;
    }
    const failedMs = clock.monotonic() - Math.max(0, clock.now() - failed.failedMs);
    if (known?.ended !== undefined && failedMs < known.ended.atMs + cooldownMs) {
      return undefined;
    }
    return begin(perform, key);
  }

  #end(flight: Flight, outcome: RecoveryOutcome | undefined, key: string | undefined): void {
    flight.ended = { atMs: this.#options.clock.monotonic(), outcome };
    if (outcome === undefined && key !== undefined) {
      // Not offered: the next one asks again.
      this.#flights.delete(key);
    }
    for (const runId of flight.waiting) {
      this.#options.wake(runId, this.#visits.get(runId)?.priority ?? 0);
    }
    flight.waiting.clear();
  }

  /** Never rejects. */
  async #limited(
    timeoutMs: number,
    perform: (signal: AbortSignal) => Promise<boolean>,
  ): Promise<RecoveryOutcome | undefined> {
    try {
      const done = await within(this.#options.clock, timeoutMs, perform, this.#closing.signal);
      return done ? { error: "" } : undefined;
    } catch (error) {
      const text = error instanceof ConnectError ? error.rawMessage : error instanceof Error ? error.message : error;
      // Never empty: that would say that it is done.
      return { error: String(text).slice(0, longestError) || "it failed without a word" };
    }
  }
}

/** Of a text that comes from a back-end and goes into the journal. */
const longestError = 1000;

function blockedBy({ action, endpoint, timeoutMs }: Flight): RecoveryStep & { readonly kind: "blocked" } {
  const name = RecoveryAction[action];
  return {
    kind: "blocked",
    gate: "recovery",
    reason: `its back-end recovers first: ${name} is under way at ${endpoint}, for ${timeoutMs / 1000} s at most`,
  };
}

function jobOf({ workflow, run, failed }: Failed): FailedJob {
  return {
    workflow: workflow.name,
    runId: run.accepted.runId,
    attempt: failed.number,
    token: failed.token,
    failure: failed.failure,
    ...(run.checkpoint && { handle: run.checkpoint.handle }),
  };
}
