import { ConnectError } from "@connectrpc/connect";
import type { Clock } from "../../clock.ts";
import { type ActivityListener, type Pausable, within } from "../../runs/index.ts";
import { sleep } from "../../sleep.ts";
import { Countdown } from "./countdown.ts";

/** Whether a job lives; undefined where that cannot be told. Rejects when there is no answer. */
export type Probe = (signal: AbortSignal) => Promise<{ readonly alive: boolean; readonly reason?: string } | undefined>;

export interface SilenceOptions {
  readonly clock: Clock;
  readonly totalMs: number;
  /** Absent where nobody can be asked. */
  readonly probe?: Probe | undefined;
  /** Called once, with what the probe has said, when the attempt is taken for dead. */
  onDead(why: string): void;
}

/** A busy machine answers within this; one that hangs is not to hold a run up for much longer. */
const probeTimeoutMs = 5_000;
const probePauseMs = 1_000;
const asks = 3;

/**
 * How long an attempt has been silent. When that is too long, its back-end is asked whether the job lives, and while it
 * does the attempt has its time again. Anything that the attempt does makes the answer needless.
 */
export class Silence implements Pausable, ActivityListener {
  readonly #options: SilenceOptions;
  readonly #countdown: Countdown;
  /** Aborted when its answer is of no use any more. */
  #asking: AbortController | undefined;

  constructor(options: SilenceOptions) {
    this.#options = options;
    this.#countdown = new Countdown(options.clock, options.totalMs, () => this.#over());
  }

  pause(): void {
    this.#stopAsking();
    this.#countdown.pause();
  }

  resume(): void {
    this.#countdown.resume();
  }

  moved(): void {
    this.#stopAsking();
    this.#countdown.restart();
  }

  #stopAsking(): void {
    if (this.#asking !== undefined) {
      this.#asking.abort();
      this.#asking = undefined;
      this.#countdown.restart();
    }
  }

  #over(): void {
    const { probe, onDead } = this.#options;
    if (probe === undefined) {
      onDead("");
      return;
    }
    const asking = new AbortController();
    this.#asking = asking;
    void this.#ask(probe, asking.signal).then((verdict) => {
      if (asking.signal.aborted) {
        return;
      }
      this.#asking = undefined;
      if (verdict === "alive") {
        this.#countdown.restart();
      } else {
        onDead(verdict.why);
      }
    });
  }

  async #ask(probe: Probe, outer: AbortSignal): Promise<"alive" | { readonly why: string }> {
    const { clock } = this.#options;
    let why = "";
    let noes = 0;
    for (let asked = 0; asked < asks && !outer.aborted; asked++) {
      try {
        if (asked > 0) {
          await sleep(clock, probePauseMs, outer);
        }
        const health = await within(clock, probeTimeoutMs, probe, outer);
        if (health === undefined) {
          return { why: "" };
        }
        if (health.alive) {
          return "alive";
        }
        why = health.reason || "its back-end says that the job does not live";
        // The result of a job that has just ended may be on its way.
        if (++noes === 2) {
          return { why };
        }
      } catch (error) {
        why = `its back-end could not tell whether the job lives: ${error instanceof ConnectError ? error.rawMessage : String(error)}`;
      }
    }
    return { why };
  }
}
