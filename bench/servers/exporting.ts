import { fork } from "node:child_process";
import { once } from "node:events";

/** Has servers that this process creates from now on export all of their telemetry, to a process of its own. */
export async function exportTelemetry(): Promise<() => void> {
  const sink = fork(new URL("./otlp-sink.ts", import.meta.url), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const [port] = (await once(sink, "message")) as [number];
  Object.assign(process.env, {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    // Six times as often as by itself, to be part of what is measured.
    OTEL_METRIC_EXPORT_INTERVAL: "10000",
  });
  return () => sink.disconnect();
}
