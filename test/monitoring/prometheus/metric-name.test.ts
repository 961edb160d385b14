import { describe, expect, it } from "vitest";
import { labelName, metricName } from "../../../src/monitoring/prometheus/metric-name.ts";

describe("metricName", () => {
  it.each([
    ["rpc.server.call.duration", "s", "histogram", "rpc_server_call_duration_seconds"],
    ["retake.runs.ended", "{run}", "counter", "retake_runs_ended_total"],
    ["retake.runs.ended_total", "{run}", "counter", "retake_runs_ended_total"],
    ["retake.journal.size", "By", "gauge", "retake_journal_size_bytes"],
    ["retake.queue.seconds", "s", "gauge", "retake_queue_seconds"],
    ["retake.pool.usage", "1", "gauge", "retake_pool_usage_ratio"],
    ["retake.frames", "{frame}/s", "gauge", "retake_frames_per_second"],
    ["disk.io", "By/s", "gauge", "disk_io_bytes_per_second"],
    ["2nd..metric-name", "", "gauge", "_2nd_metric_name"],
    ["色", "", "counter", "unnamed_total"],
    ["gpu:temperature", "Cel", "gauge", "gpu:temperature_celsius"],
  ] as const)("%s in %s, a %s, is %s", (name, unit, kind, expected) => {
    expect(metricName(name, unit, kind)).toBe(expected);
  });
});

describe("labelName", () => {
  it.each([
    ["retake.workflow", "retake_workflow"],
    ["error.type", "error_type"],
    ["9lives", "_9lives"],
    ["_", "unnamed"],
    ["", "unnamed"],
    ["色", "unnamed"],
    ["le", "exported_le"],
    ["quantile", "exported_quantile"],
    ["otel.scope.name", "exported_otel_scope_name"],
    ["otel.scope.names", "otel_scope_names"],
    ["__name__", "name"],
  ])("%s is %s", (attribute, expected) => {
    expect(labelName(attribute)).toBe(expected);
  });
});
