import { expect } from "vitest";

/** What every foreign client does: it calls, streams, watches, cancels and errs, and tells what it has seen in JSON. */
export function expectForeignReport(report: unknown, text: string): void {
  expect(report).toEqual({
    text,
    updates: ["line", "line", "token"],
    watched: ["accepted", "attempt_started", "step_completed", "step_completed", "step_completed", "succeeded"],
    cancelled: expect.arrayContaining([
      "accepted",
      "attempt_started",
      "step_completed",
      "cancel_requested",
      "cancelled",
    ]),
    lastOfCancelled: "cancelled",
    code: "INVALID_ARGUMENT",
    violations: [{ field: "lines", description: expect.stringMatching(/\S/) }],
  });
}
