import { SpanKind } from "@opentelemetry/api";
import { describe, expect, it, vi } from "vitest";
import { systemClock, systemRandom } from "../../../src/clock.ts";
import type { EndedCall } from "../../../src/interceptors/rpc/index.ts";
import { Tracing } from "../../../src/monitoring/telemetry/tracing.ts";
import { untraced } from "../../../src/traceparent.ts";
import { createCallHeaders } from "../../../src/transport/call-headers.ts";

const trace = "0af7651916cd43dd8448eb211c80319c";
const span = "b7ad6b7169203331";
const ended: EndedCall = {
  ...{ system: "grpc", method: "a.v1.A/Do", statusCode: "OK", errorType: "", message: "", runId: "", seconds: 0 },
};

function tracingWith(allows: boolean, share = 1) {
  const onEnd = vi.fn();
  const onLeftOut = vi.fn();
  const spend = vi.fn();
  const tracing = new Tracing({
    ...{ sampling: { parentBased: true, share } },
    ...{ clock: systemClock, random: systemRandom, redact: (text: string) => text },
    ...{ onEnd, onLeftOut, budget: { allows: () => allows, spend } },
  });
  return { tracing, onEnd, onLeftOut, spend };
}

describe("the span of a call", () => {
  it.each([true, false])(
    "makes no Headers of what a call has, which would cost as much as the call: kept %j",
    (allows) => {
      const { tracing } = tracingWith(allows);
      const headers = createCallHeaders();
      tracing.begin(headers, 0)?.end(ended);
      expect(headers.plain?.map(([name]) => name)).toEqual(["traceparent"]);
    },
  );

  it("is made at its end, and told to those behind it", () => {
    const { tracing, onEnd, spend } = tracingWith(true);
    const header = new Headers({ traceparent: `00-${trace}-${span}-01` });
    tracing.begin(header, 0)?.end(ended);
    const [, id, own, flags] = header.get("traceparent")?.split("-") ?? [];
    expect([id, flags]).toEqual([trace, "01"]);
    expect(own).not.toBe(span);
    expect(onEnd.mock.calls[0]?.[0]).toMatchObject({ traceId: trace, spanId: own });
    expect(spend).toHaveBeenCalledOnce();
  });

  it("belongs to the trace of a caller whose version is not known, and tells those behind it in its own", () => {
    const { tracing, onEnd } = tracingWith(true);
    const header = new Headers({ traceparent: `cc-${trace}-${span}-01-more`, tracestate: "a=1" });
    tracing.begin(header, 0)?.end(ended);
    const { spanId } = onEnd.mock.calls[0]?.[0] ?? {};
    expect(header.get("traceparent")).toBe(`00-${trace}-${spanId}-01`);
    expect(header.get("tracestate")).toBe("a=1");
    expect(onEnd.mock.calls[0]?.[0]).toMatchObject({ traceId: trace, parentSpanId: span });
  });

  it.each([
    ["films.example:50051", { "server.address": "films.example", "server.port": 50051 }],
    ["[2001:db8::1]:443", { "server.address": "2001:db8::1", "server.port": 443 }],
    ["films.example", { "server.address": "films.example", "server.port": undefined }],
    ["a".repeat(5_000), { "server.address": "a".repeat(260), "server.port": undefined }],
    [undefined, { "server.address": undefined, "server.port": undefined }],
  ])("says which server its caller meant: %j", (authority, attributes) => {
    const { tracing, onEnd } = tracingWith(true);
    for (let time = 0; time < 2; time++)
      tracing.begin(new Headers(), 0)?.end({ ...ended, ...(authority !== undefined && { authority }) });
    for (const [made] of onEnd.mock.calls) {
      expect({ ...{ "server.address": undefined, "server.port": undefined }, ...made.attributes }).toMatchObject(
        attributes,
      );
    }
  });

  it("takes nothing from a trace that cannot be read", () => {
    const { tracing, onEnd } = tracingWith(true);
    const header = new Headers({ traceparent: `ff-${trace}-${span}-01`, tracestate: "a=1" });
    tracing.begin(header, 0)?.end(ended);
    expect(header.has("tracestate")).toBe(false);
    expect(onEnd.mock.calls[0]?.[0].traceId).not.toBe(trace);
  });

  it.each([
    [true, 0],
    [false, 1],
  ])("costs none of what may be made where an earlier process has made it: %j", (again, times) => {
    const { tracing, spend } = tracingWith(true);
    const about = { traceId: trace, spanId: span, name: "a step", kind: SpanKind.INTERNAL, attributes: {} };
    tracing.end({ ...about, startMs: 0, endMs: 1, again });
    expect(spend).toHaveBeenCalledTimes(times);
  });

  it.each([
    ["a caller's", { traceparent: `00-${trace}-${span}-01` }, new RegExp(`^00-${trace}-${span}-00$`)],
    ["a new one", {}, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/],
  ])("is left out, and all of its trace, where there are too many: %s", (_, given, expected) => {
    const { tracing, onLeftOut } = tracingWith(false);
    const header = new Headers(given);
    expect(tracing.begin(header, 0)).toBeUndefined();
    expect(onLeftOut).toHaveBeenCalledOnce();
    expect(header.get("traceparent")).toMatch(expected);
    expect(tracing.traceOf("a-run", header.get("traceparent") ?? "")).toBeUndefined();
  });

  it.each([
    ["there are too many", false, 1],
    ["a sampler leaves it out", true, 0],
  ])("makes no id for a call that is left out until somebody asks for it: %s", (_, allows, share) => {
    const { tracing } = tracingWith(allows, share);
    const header = createCallHeaders();
    expect(tracing.begin(header, 0)).toBeUndefined();
    expect(header.isDeferred("traceparent")).toBe(true);
    const traceparent = header.get("traceparent") ?? "";
    expect(traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    expect(header.get("traceparent")).toBe(traceparent);
    expect(tracing.traceOf("a-run", untraced)).toBeUndefined();
  });
});
