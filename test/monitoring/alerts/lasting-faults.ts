import type { TestSeries } from "./random-rules.ts";

const workflow = "a.v1.Video/Paint";
const bounds = ["1", "10", "30", "60", "120", "300", "+Inf"] as const;

/** Ten runs a minute from the first minute on, of 10 s and from some minute on of 120 s. A sample each minute. */
export function slowedRuns(minutes: number, fromMinute: number, slowFromMinute: number): TestSeries[] {
  return bounds.map((le) => {
    let count = 0;
    const values = Array.from({ length: minutes }, (_, minute) => {
      if (minute < fromMinute) return undefined;
      if (Number(le.replace("+Inf", "Infinity")) >= (minute < slowFromMinute ? 10 : 120)) count += 10;
      return count;
    });
    const labels = { retake_workflow: workflow, retake_run_state: "SUCCEEDED", le };
    return { name: "retake_run_duration_seconds_bucket", labels, values };
  });
}

/** A queue that grows by ten runs a minute between two minutes, and stays as long as it is then. */
export function grownQueue(minutes: number, fromMinute: number, untilMinute: number): TestSeries {
  const values = Array.from(
    { length: minutes },
    (_, minute) => 10 * Math.max(0, Math.min(minute, untilMinute) - fromMinute),
  );
  return { name: "retake_runs_open", labels: { retake_workflow: workflow, retake_run_state: "QUEUED" }, values };
}
