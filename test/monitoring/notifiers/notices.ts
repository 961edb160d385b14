import { fingerprintOf, type Notice } from "../../../src/monitoring/notifiers/notice.ts";

/** A notice of an alert that fires, unless something else is said. */
export function notice(init: Partial<Notice> = {}): Notice {
  return {
    fingerprint: fingerprintOf("Deep", "queue=a"),
    status: "firing",
    severity: "critical",
    labels: { alertname: "Deep", severity: "critical", queue: "a", retake_workflow: "a.v1.Video/Paint" },
    annotations: { summary: "12 runs wait", description: "More than ever." },
    value: 12,
    startMs: Date.UTC(2026, 0, 1),
    ...init,
  };
}
