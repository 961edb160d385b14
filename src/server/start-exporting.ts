import { Exporting, type ExportingOptions } from "../monitoring/index.ts";
import { ownVersion } from "../own-version.ts";

/** Begins to send what OpenTelemetry's variables say. Loaded only where they say something. */
export async function startExporting(options: Omit<ExportingOptions, "version">): Promise<Exporting> {
  return Exporting.start({ ...options, version: await ownVersion() });
}
