import { ConnectError } from "@connectrpc/connect";
import { RecoveryAction } from "../../gen/retake/v1/options_pb.js";
import type { Clock } from "../clock.ts";
import type { ResolvedRecoveryRule } from "../contract/index.ts";
import { type FailedAttempt, type RunRequest, within } from "../runs/index.ts";
import type { FailedJob } from "./backend.ts";
import type { Endpoints } from "./endpoints.ts";

export interface RecoveriesOptions {
  readonly endpoints: Pick<Endpoints, "backend" | "switchFrom">;
  readonly clock: Clock;
}

/** What came of an action: empty when it is done, else why it could not be. */
export type RecoveryOutcome = { readonly error: string };

interface Flight {
  readonly outcome: Promise<RecoveryOutcome | undefined>;
  /** When it ended, by the monotonic clock: the wall clock may jump. Undefined while it goes on. */
  endedMs: number | undefined;
}

/**
 * Has endpoints do something about what attempts have failed with.
 *
 * 1. An action is under way at an endpoint once at a time: whoever needs it meanwhile waits for that one.
 * 2. It is not repeated for attempts that failed before it ended, or within its cool-down after that.
 *
 * What is about one run alone, its job or where it goes next, is done for each.
 */
export class Recoveries {
  readonly #options: RecoveriesOptions;
  readonly #flights = new Map<string, Flight>();
  readonly #closing = new AbortController();

  constructor(options: RecoveriesOptions) {
    this.#options = options;
  }

  /** Carries out a rule for an attempt that has failed. Undefined when nothing was done. Never rejects. */
  async act(
    { action, timeoutMs, cooldownMs }: ResolvedRecoveryRule,
    { workflow, run }: Pick<RunRequest, "workflow" | "run">,
    failed: FailedAttempt,
  ): Promise<RecoveryOutcome | undefined> {
    const { endpoints, clock } = this.#options;
    const { endpoint, failure } = failed;
    if (action === RecoveryAction.SWITCH_ENDPOINT) {
      return this.#limited(timeoutMs, () => endpoints.switchFrom(workflow.service.typeName, endpoint));
    }
    const backend = endpoints.backend(endpoint);
    if (backend?.recover === undefined) {
      return undefined;
    }
    const { runId } = run.accepted;
    const job: FailedJob = {
      workflow: workflow.name,
      runId,
      attempt: failed.number,
      token: failed.token,
      failure,
      ...(run.checkpoint && { handle: run.checkpoint.handle }),
    };
    const perform = () =>
      this.#limited(timeoutMs, async (signal) => (await backend.recover?.(action, job, signal)) ?? false);
    if (action === RecoveryAction.INTERRUPT) {
      return perform();
    }
    const key = `${action} ${endpoint}`;
    const known = this.#flights.get(key);
    if (known !== undefined && known.endedMs === undefined) {
      return known.outcome;
    }
    const failedMs = clock.monotonic() - Math.max(0, clock.now() - failed.failedMs);
    if (known?.endedMs !== undefined && failedMs < known.endedMs + cooldownMs) {
      return undefined;
    }
    const flight: Flight = { outcome: perform(), endedMs: undefined };
    this.#flights.set(key, flight);
    const outcome = await flight.outcome;
    flight.endedMs = clock.monotonic();
    if (outcome === undefined) {
      // Not offered: the next one asks again.
      this.#flights.delete(key);
    }
    return outcome;
  }

  /** Waits for nothing that is under way. */
  close(): void {
    this.#closing.abort(new Error("the server stops"));
  }

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
