import { Quality } from "../../../gen/retake/v1/options_pb.js";
import { QualityCause, type QualityLevel } from "../../../gen/retake/v1/quality_level_pb.js";
import { plainText } from "./plain-text.ts";
import { showDistance, showTime, timestampMs } from "./times.ts";

/** Why a workflow's quality is where it is: `set by ana: heat`; empty where it has always been FULL. */
export function qualityCause({ cause, reason, setBy }: QualityLevel): string {
  const why = reason === "" ? "" : `: ${plainText(reason)}`;
  switch (cause) {
    case QualityCause.OPERATOR:
      return `set by ${plainText(setBy)}${why}`;
    case QualityCause.FAILURES:
      return plainText(reason);
    case QualityCause.ALERT:
      return `alert${reason === "" ? "" : ` ${plainText(reason)}`}`;
    case QualityCause.QUIET:
      return "it was quiet";
    default:
      return "";
  }
}

/** What becomes of it: `rises in 4 min 10 s`, `held at LOW until 2026-11-22 10:02:13`; empty where nothing does. */
export function qualityOutlook({ level, riseTime, heldAt, holdExpireTime }: QualityLevel, nowMs: number): string {
  if (level === Quality.FULL) return "";
  if (riseTime !== undefined) return `rises ${showDistance(timestampMs(riseTime), nowMs)}`;
  if (heldAt === Quality.UNSPECIFIED) return "";
  const until = holdExpireTime === undefined ? "" : ` until ${showTime(timestampMs(holdExpireTime))}`;
  return `held at ${Quality[heldAt]}${until}`;
}
