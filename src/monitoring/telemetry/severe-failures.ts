import { type Failure, FailureSeverity } from "../../../gen/retake/v1/run_pb.js";
import type { RunOwner, RunRecord } from "../../runs/index.ts";

/** A failure that puts more than its run in danger. */
export interface SevereFailure {
  readonly timeMs: number;
  readonly runId: string;
  readonly workflow: string;
  readonly owner: RunOwner;
  /** The attempt that failed. */
  readonly attempt: number;
  /** Empty where that is not known any more. */
  readonly endpoint: string;
  readonly failure: Failure;
}

/** More than anybody reads; some 300 KB at most. */
const mostKept = 100;

/** The critical failures of late, of this process and, as far as they have ended runs, of the one before. */
export class SevereFailures {
  #kept: SevereFailure[] = [];
  #recalled: Promise<void> | undefined;

  /** Takes note of a failure, if it is one of them. */
  note(
    run: Readonly<Pick<RunRecord, "accepted" | "attempts">>,
    failure: Failure | undefined,
    endpoint: string,
    timeMs: number,
  ): void {
    if (failure?.severity !== FailureSeverity.CRITICAL) return;
    const { runId, workflow, owner } = run.accepted;
    const found = { runId, workflow, owner: { tenant: owner?.tenant ?? "", subject: owner?.subject ?? "" } };
    this.#kept.push({ timeMs, ...found, attempt: run.attempts, endpoint, failure });
    if (this.#kept.length > 2 * mostKept) this.#kept = newest(this.#kept);
  }

  /** Takes up what an earlier process has left, once. */
  recall(read: () => Promise<readonly SevereFailure[]>): Promise<void> {
    this.#recalled ??= read().then(
      (found) => {
        this.#kept = newest([...found, ...this.#kept]);
      },
      (error: unknown) => {
        this.#recalled = undefined;
        throw error;
      },
    );
    return this.#recalled;
  }

  /** Those after a time, newest first. */
  since(afterMs: number): readonly SevereFailure[] {
    return newest(this.#kept)
      .filter(({ timeMs }) => timeMs > afterMs)
      .reverse();
  }
}

function newest(failures: readonly SevereFailure[]): SevereFailure[] {
  return failures.toSorted((a, b) => a.timeMs - b.timeMs).slice(-mostKept);
}
