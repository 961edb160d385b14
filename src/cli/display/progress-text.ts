import type { Progress } from "../../../gen/retake/v1/run_pb.js";
import { plainText } from "./plain-text.ts";
import { durationMs, showDuration } from "./times.ts";

/** Progress in one line: `sampling 52 %, step 12/24, 1 min 20 s left, frame 12`. */
export function progressText(progress: Progress | undefined): string {
  if (progress === undefined) return "";
  const { stage, message, eta } = progress;
  const head = [plainText(stage), percentText(progress)].filter((part) => part !== "").join(" ");
  const left = eta === undefined ? "" : `${showDuration(durationMs(eta))} left`;
  return [head, stepText(progress), left, plainText(message)].filter((part) => part !== "").join(", ");
}

/** `52 %`; empty where it is not known. A fraction out of range is cut to it. */
export function percentText({ fraction }: Progress): string {
  return fraction === undefined || Number.isNaN(fraction) ? "" : `${Math.floor(clamped(fraction) * 100)} %`;
}

/** `step 12/24`; empty where it is not known. */
export function stepText({ step, steps }: Progress): string {
  if (step === 0 && steps === 0) return "";
  return steps === 0 ? `step ${step}` : `step ${step}/${steps}`;
}

export function clamped(fraction: number): number {
  return Math.min(1, Math.max(0, fraction));
}
