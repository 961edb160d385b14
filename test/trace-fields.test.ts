import { describe, expect, it } from "vitest";
import { attemptSpanId, ownTraceId, runSpanId } from "../src/span-ids.ts";
import { runFields, traceFields } from "../src/trace-fields.ts";

const traceparent = `00-${"a1".repeat(16)}-${"b2".repeat(8)}-01`;

describe("the fields of log lines", () => {
  it("name the caller's trace and span", () => {
    expect(traceFields(traceparent)).toEqual({ trace_id: "a1".repeat(16), span_id: "b2".repeat(8) });
    for (const none of [null, undefined, "", "undefined", "00-a1-b2-01"]) expect(traceFields(none)).toEqual({});
  });

  it("name a run and its span, or an attempt's", () => {
    expect(runFields({ runId: "r-1", traceparent })).toEqual({
      run_id: "r-1",
      trace_id: "a1".repeat(16),
      span_id: runSpanId("r-1"),
    });
    expect(runFields({ runId: "r-1", traceparent }, 2).span_id).toBe(attemptSpanId("r-1", 2));
  });

  it("lead from line to line of a run that nobody's trace has led to", () => {
    expect(runFields({ runId: "r-1", traceparent: "" }).trace_id).toBe(ownTraceId("r-1"));
  });
});
