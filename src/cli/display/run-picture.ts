import { type Progress, type Run, type RunEvent, RunState } from "../../../gen/retake/v1/run_pb.js";
import type { RunUpdate } from "../../client/index.ts";
import { plainText } from "./plain-text.ts";
import type { ProgressLine } from "./progress-line.ts";
import { durationMs, showDistance, timestampMs } from "./times.ts";

/** Where a run stands, as its updates tell it: what the progress line shows. */
export class RunPicture {
  readonly #startMs: number;
  readonly #knownSequence: bigint;
  #phase: (nowMs: number) => string;
  #progress: Progress | undefined;
  /** When the ETA was told, by the wall clock. */
  #progressMs = 0;

  constructor(run: Run, nowMs: number) {
    this.#startMs = run.createTime === undefined ? nowMs : timestampMs(run.createTime);
    this.#knownSequence = run.lastSequence;
    this.#phase = phaseOf(run);
    this.#report(run.progress, nowMs);
  }

  apply(update: RunUpdate, nowMs: number): void {
    if (update.kind === "progress") {
      this.#report(update.progress.progress, nowMs);
      return;
    }
    // What the run showed already when the picture was begun is history.
    if (update.event.sequence <= this.#knownSequence) return;
    const phase = phaseAfter(update.event);
    if (phase !== undefined) {
      this.#phase = phase;
      this.#progress = undefined;
    } else if (update.event.event.case === "progressSampled") {
      this.#report(update.event.event.value.progress, nowMs);
    }
  }

  /** As a line; `notice` goes before what the run does. */
  at(nowMs: number, notice = ""): ProgressLine {
    const progress = notice === "" ? this.#progress : undefined;
    return {
      phase: notice || this.#phase(nowMs),
      progress,
      elapsedMs: nowMs - this.#startMs,
      etaMs: progress?.eta && Math.max(0, durationMs(progress.eta) - (nowMs - this.#progressMs)),
    };
  }

  #report(progress: Progress | undefined, nowMs: number): void {
    this.#progress = progress;
    this.#progressMs = nowMs;
  }
}

type Phase = (nowMs: number) => string;

function phaseOf({ state, wait, statistics, fallbacks }: Run): Phase {
  switch (state) {
    case RunState.QUEUED:
      return constant(wait === undefined ? "queued" : `queued: ${plainText(wait.reason)}`);
    case RunState.RUNNING:
      return constant(`attempt ${statistics?.attempts ?? 1}`);
    case RunState.BACKING_OFF:
      return waiting("to be retaken", wait?.notBefore && timestampMs(wait.notBefore));
    case RunState.PARKED:
      return waiting(`parked: ${plainText(wait?.reason ?? "")}`, wait?.notBefore && timestampMs(wait.notBefore));
    case RunState.DELEGATED:
      return constant(`fallback ${fallbacks.at(-1)?.workflow ?? ""} works`);
    case RunState.CANCELLING:
      return constant("stopping");
    default:
      return constant(RunState[state].toLowerCase());
  }
}

/** Undefined where an event leaves the run doing what it did. */
function phaseAfter({ event }: RunEvent): Phase | undefined {
  switch (event.case) {
    case "accepted":
    case "woken":
    case "attemptFailed":
    case "fallbackEnded":
      return constant("queued");
    case "attemptStarted":
      return constant(`attempt ${event.value.attempt}`);
    case "retryScheduled":
      return waiting("to be retaken", event.value.wakeAt && timestampMs(event.value.wakeAt));
    case "parked":
      return waiting(
        `parked: ${plainText(event.value.reason)}`,
        event.value.notBefore && timestampMs(event.value.notBefore),
      );
    case "fallbackStarted":
      return constant(`fallback ${event.value.workflow} works`);
    case "cancelRequested":
      return constant("stopping");
    default:
      return undefined;
  }
}

function constant(text: string): Phase {
  return () => text;
}

function waiting(text: string, untilMs: number | undefined): Phase {
  return (nowMs) => (untilMs === undefined ? text : `${text} ${showDistance(untilMs, nowMs)}`);
}
