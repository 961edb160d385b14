import { spawn } from "node:child_process";
import { createClient } from "@connectrpc/connect";
import { metrics } from "@opentelemetry/api";
import { describe, expect, it } from "vitest";
import { requirePythonWithGrpc } from "../../e2e/python.ts";
import { WorkflowsService } from "../../gen/retake/test/v1/workflows_pb.js";
import { everyTransport, fetchWeb, startListening } from "../../server/listening-server.ts";
import { describeWithTool } from "../../tools.ts";

/** What a server says after calls that succeed and fail, with labels that hold anything. */
async function metricsText(accept: string): Promise<string> {
  const listening = await startListening();
  for (const [, transport] of everyTransport(listening)) {
    const client = createClient(WorkflowsService, transport);
    await client.plain({ text: "a" }, { headers: { traceparent: `00-${"a1".repeat(16)}-${"b2".repeat(8)}-01` } });
  }
  await listening.runs.getRun({ runId: "00000000-0000-7000-8000-000000000000" }).catch(() => undefined);
  await fetchWeb(listening.webPort, "/metrics", { method: "GET", headers: {} });
  const frames = metrics
    .getMeter("studio")
    .createCounter("studio.frames", { description: "Frames\nof films.", unit: "{frame}" });
  frames.add(1.5, { film: 'the "long"\\take\n', "film.name": "ü" });
  // What other meters have under the same names. Of one meter, the first that has a name is told.
  for (const [name, version, schemaUrl] of [
    ["archive", "2.0.0"],
    ["archive", "2.0.0", "https://films.test/1"],
    ["studio"],
  ]) {
    const meter = metrics.getMeter(name ?? "", version, schemaUrl === undefined ? {} : { schemaUrl });
    meter.createCounter("studio.frames", { description: "Others.", unit: "{picture}" }).add(2);
    meter.createHistogram("studio.took", { unit: "s" }).record(1);
    meter.createGauge("studio.depth", { unit: "1" }).record(name === "studio" ? 1 : 2, { "otel.scope.name": "mine" });
  }
  const { body } = await fetchWeb(listening.webPort, "/metrics", { method: "GET", headers: { accept } });
  return body.toString();
}

function pipe(
  command: string,
  args: readonly string[],
  input: string,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, output }));
    child.stdin.end(input);
  });
}

describeWithTool("promtool", "the text format", () => {
  it("leaves promtool nothing to say", async () => {
    const text = await metricsText("text/plain");
    expect(text.match(/^studio_frames_total\{/gm)).toHaveLength(3);
    expect(text.match(/^studio_took_seconds_count\{/gm)).toHaveLength(3);
    expect(text.match(/^studio_depth_ratio\{/gm)).toHaveLength(3);
    expect(await pipe("promtool", ["check", "metrics"], text)).toEqual({ code: 0, output: "" });
  });
});

const strict = `
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
exemplars = [s.exemplar for f in families for s in f.samples if s.exemplar]
shared = [s.labels.get("otel_scope_name") for f in families if f.name == "studio_frames" for s in f.samples]
print(sorted(shared), len(families) > 20, any(e.labels.get("trace_id") == "a1" * 16 and "run_id" in e.labels for e in exemplars))
`;

describe("OpenMetrics", () => {
  it("is what Python's strict parser reads, with exemplars", async (context) => {
    const python = await requirePythonWithGrpc(context, ["prometheus_client"]);
    const text = await metricsText("application/openmetrics-text; version=1.0.0");
    expect(await pipe(python, ["-c", strict], text)).toEqual({
      code: 0,
      output: "['archive', 'archive', 'studio'] True True\n",
    });
  }, 300_000);
});
