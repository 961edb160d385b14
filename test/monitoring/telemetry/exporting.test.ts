import { expect, it, onTestFinished, vi } from "vitest";
import { systemRandom } from "../../../src/clock.ts";
import { Instruments } from "../../../src/instruments.ts";
import type { EndedCall } from "../../../src/interceptors/rpc/index.ts";
import { Exporting } from "../../../src/monitoring/telemetry/exporting.ts";
import { readOtelEnvironment } from "../../../src/monitoring/telemetry/otel-environment.ts";
import { silentLogger } from "../../../src/runs/index.ts";
import { createMemoryStorage } from "../../../src/runs/memory/index.ts";
import { createVirtualClock } from "../../../src/testing/virtual-clock.ts";

const ended: EndedCall = {
  ...{ system: "grpc", method: "a.v1.A/Do", statusCode: "OK", errorType: "", message: "", runId: "", seconds: 0 },
};

it("counts the traces that are left out", async () => {
  vi.stubEnv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  const clock = createVirtualClock();
  const instruments = new Instruments(100);
  const exporting = await Exporting.start({
    environment: readOtelEnvironment({ OTEL_TRACES_EXPORTER: "otlp" }),
    ...{ version: "1", spansPerSecond: 200, instruments, clock, random: systemRandom, log: silentLogger },
    journal: createMemoryStorage({ clock }).journal,
    ...{ forwarded: { forward: () => undefined } as never, audit: { forward: () => undefined } as never },
    redactor: () => ({ text: (text) => text, jsonLine: (line) => line }),
  });
  const spans = Array.from({ length: 5_000 }, () => {
    const span = exporting.tracing?.spans.begin(new Headers(), clock.monotonic());
    span?.end(ended);
    return span;
  });
  const leftOut = spans.filter((span) => span === undefined).length;
  expect(leftOut).toBe(4_800);
  const families = instruments.collect(() => undefined);
  const found = families.find(({ description }) => description.name === "retake.traces.left_out");
  const cells = [...(found?.cells() ?? [])] as { value: number }[];
  expect(cells.map(({ value }) => value)).toEqual([leftOut]);
});
