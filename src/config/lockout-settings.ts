import type { Duration } from "@bufbuild/protobuf/wkt";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { LockoutConfig } from "../../gen/retake/v1/api_key_config_pb.js";

/** When those who show wrong credentials are locked out. Durations are in milliseconds. */
export interface ResolvedLockout {
  readonly threshold: number;
  readonly windowMs: number;
  readonly initialDelayMs: number;
  readonly maxLockoutMs: number;
}

const second = 1_000;
const minute = 60 * second;

const defaults: ResolvedLockout = {
  /** More often nobody pastes the wrong key by mistake. */
  threshold: 10,
  windowMs: 10 * minute,
  /** Hardly noticed once; two minutes at the tenth. */
  initialDelayMs: 250,
  maxLockoutMs: 15 * minute,
};

/** Absent where nobody is. */
export function resolveLockout(config: LockoutConfig | undefined): ResolvedLockout | undefined {
  if (config?.disabled === true) return undefined;
  return {
    threshold: config?.threshold ?? defaults.threshold,
    windowMs: msOr(config?.window, defaults.windowMs),
    initialDelayMs: msOr(config?.initialDelay, defaults.initialDelayMs),
    maxLockoutMs: msOr(config?.maxLockout, defaults.maxLockoutMs),
  };
}

function msOr(duration: Duration | undefined, defaultMs: number): number {
  return duration === undefined ? defaultMs : durationMs(duration);
}
