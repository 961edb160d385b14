import type { Clock, RandomSource } from "../clock.ts";
import type { Instruments } from "../instruments.ts";
import { Exporting } from "../monitoring/index.ts";
import type { ForwardedLog, OtelEnvironment } from "../monitoring/telemetry/index.ts";
import { ownVersion } from "../own-version.ts";
import type { Logger } from "../runs/index.ts";

/** Begins to send what OpenTelemetry's variables say. Loaded only where they say something. */
export async function startExporting(options: {
  readonly environment: OtelEnvironment;
  readonly instruments: Instruments | undefined;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
  readonly forwarded: ForwardedLog;
}): Promise<Exporting> {
  return Exporting.start({ ...options, version: await ownVersion() });
}
