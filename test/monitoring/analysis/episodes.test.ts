import { expect, it } from "vitest";
import { AlertSeverity } from "../../../gen/retake/v1/alert_pb.js";
import type { AlertView } from "../../../src/monitoring/alerts/alert.ts";
import type { PastChange } from "../../../src/monitoring/alerts/alert-history.ts";
import { alertEpisodes } from "../../../src/monitoring/analysis/episodes.ts";

const inactive: AlertView = { state: "inactive", severity: "warning" };
const pending: AlertView = { state: "pending", severity: "warning" };
const warning: AlertView = { state: "firing", severity: "warning" };
const critical: AlertView = { state: "firing", severity: "critical" };
const resolved: AlertView = { state: "resolved", severity: "warning" };

function change(second: number, before: AlertView, after: AlertView, key = "a"): PastChange {
  const labels = { queue: key };
  return { timeMs: second * 1_000, rule: "Deep", cause: "threshold", labels, value: second, key, before, after };
}

function told(changes: readonly PastChange[], afterMs = 0) {
  return alertEpisodes(changes, afterMs).map(({ labels, severity, fireTime, resolveTime, value }) => [
    labels["queue"],
    AlertSeverity[severity],
    fireTime && Number(fireTime.seconds),
    resolveTime && Number(resolveTime.seconds),
    value,
  ]);
}

it("is the time from the moment at which an alert fires to that at which it does not, with the worst of it", () => {
  const changes = [
    change(10, inactive, pending),
    change(20, pending, warning),
    change(30, warning, critical),
    change(40, critical, warning),
    change(50, warning, resolved),
    change(60, resolved, warning),
  ];
  expect(told(changes)).toEqual([
    ["a", "WARNING", 60, undefined, 60],
    ["a", "CRITICAL", 20, 50, 20],
  ]);
});

it("tells alerts of a rule apart, whatever the order in which their changes come", () => {
  const changes = [
    change(50, warning, resolved, "b"),
    change(20, inactive, critical),
    change(30, inactive, warning, "b"),
  ];
  expect(told(changes)).toEqual([
    ["b", "WARNING", 30, 50, 30],
    ["a", "CRITICAL", 20, undefined, 20],
  ]);
});

it("does not know since when it fires where that is longer ago than what is kept", () => {
  expect(told([change(50, critical, resolved)])).toEqual([["a", "CRITICAL", undefined, 50, undefined]]);
});

it("leaves out what was over before, and pending alerts that never fired", () => {
  const changes = [
    change(10, inactive, warning),
    change(20, warning, resolved),
    change(30, inactive, pending, "b"),
    change(40, pending, inactive, "b"),
    change(50, inactive, warning, "c"),
  ];
  expect(told(changes, 25_000).map(([queue]) => queue)).toEqual(["c"]);
  expect(told(changes, 15_000).map(([queue]) => queue)).toEqual(["c", "a"]);
});
