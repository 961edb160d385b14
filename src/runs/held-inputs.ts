import type { ConnectError } from "@connectrpc/connect";
import { type Accepted, RunMode } from "../../gen/retake/v1/run_pb.js";
import { inputQuota } from "./errors.ts";
import type { RunOwner } from "./ports/journal.ts";

export interface HeldInputsOptions {
  /** Runs of an owner. */
  readonly maxRuns: number;
  /** Bytes of their inputs; undefined while it is not known. */
  readonly maxBytes: () => number | undefined;
}

/** What an owner has left to the server. */
interface Held {
  runs: number;
  bytes: number;
}

type Counted = Pick<Accepted, "runId" | "mode" | "parentRunId" | "owner" | "input">;

/**
 * The inputs of runs that have not ended, counted for each owner: whoever may start runs that wait must not fill the disk with
 * them. Not those of children, which belong to a run that was accepted, and of calls that end with their caller, of which each
 * holds a stream.
 *
 * A run is counted when it is accepted, or found in the journal at the start, and no more when its end is durable or it has not
 * become one. One that could not be read at the start is not counted, and takes nothing away from the others when it ends.
 */
export class HeldInputs {
  readonly #options: HeldInputsOptions;
  /** By tenant and subject: joined to one text they would cost each run more than being counted. */
  readonly #tenants = new Map<string, Map<string, Held>>();
  readonly #leftOut = new Set<string>();

  constructor(options: HeldInputsOptions) {
    this.#options = options;
  }

  /** Why an owner may not leave this input, too. */
  refusal(owner: RunOwner, bytes: number): ConnectError | undefined {
    const { maxRuns } = this.#options;
    const held = this.#of(owner) ?? none;
    if (held.runs + 1 > maxRuns) {
      const limit = `${maxRuns} runs of one owner may be unfinished (runs.max_unfinished_per_owner), and ${held.runs} are`;
      return inputQuota(owner, limit);
    }
    const maxBytes = this.#options.maxBytes() ?? Number.POSITIVE_INFINITY;
    if (held.bytes + bytes <= maxBytes) return undefined;
    const limit =
      `the inputs of one owner's unfinished runs may have ${Math.floor(maxBytes)} bytes ` +
      `(runs.max_unfinished_bytes_per_owner): those of ${held.runs} runs have ${held.bytes}, and this one ${bytes}`;
    return inputQuota(owner, limit);
  }

  add(run: Counted): void {
    if (!isCounted(run)) return;
    const { tenant, subject } = run.owner ?? nobody;
    let subjects = this.#tenants.get(tenant);
    if (subjects === undefined) {
      subjects = new Map();
      this.#tenants.set(tenant, subjects);
    }
    let held = subjects.get(subject);
    if (held === undefined) {
      held = { runs: 0, bytes: 0 };
      subjects.set(subject, held);
    }
    held.runs++;
    held.bytes += Number(run.input?.size ?? 0);
  }

  /** A run that is in the journal, and whose it is cannot be told. */
  leaveOut(runId: string): void {
    this.#leftOut.add(runId);
  }

  remove(run: Counted): void {
    if (this.#leftOut.size > 0 && this.#leftOut.delete(run.runId)) return;
    if (!isCounted(run)) return;
    const { tenant, subject } = run.owner ?? nobody;
    const subjects = this.#tenants.get(tenant);
    const held = subjects?.get(subject);
    if (subjects === undefined || held === undefined) return;
    held.runs--;
    held.bytes -= Number(run.input?.size ?? 0);
    if (held.runs > 0) return;
    subjects.delete(subject);
    if (subjects.size === 0) this.#tenants.delete(tenant);
  }

  #of({ tenant, subject }: RunOwner): Held | undefined {
    return this.#tenants.get(tenant)?.get(subject);
  }
}

function isCounted({ mode, parentRunId }: Counted): boolean {
  return mode !== RunMode.ATTACHED && parentRunId === "";
}

const nobody: RunOwner = { tenant: "", subject: "" };
const none: Held = { runs: 0, bytes: 0 };
