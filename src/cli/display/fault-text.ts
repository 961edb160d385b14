import type { ActiveFault, Fault } from "../../../gen/retake/v1/fault_pb.js";
import { plainText } from "./plain-text.ts";
import { durationMs, showDuration, showTime, timestampMs } from "./times.ts";

/** `status INTERNAL`, `stall after 3 messages`. */
export function effectText({ effect }: Pick<Fault, "effect">): string {
  switch (effect.case) {
    case "delay":
      return `delay of ${effect.value.duration === undefined ? "nothing" : showDuration(durationMs(effect.value.duration))}`;
    case "status": {
      const { code, message } = effect.value;
      return `status ${code || "UNAVAILABLE"}${message && `: ${plainText(message)}`}`;
    }
    case "abort":
      return `abort after ${effect.value.afterMessages} messages`;
    case "stall":
      return `stall after ${effect.value.afterMessages} messages`;
    case "outOfMemory":
      return "out of memory";
    case "crash":
      return "crash, once";
    case undefined:
      return "something that this version does not know";
  }
}

/** `100 %`, `0.5 %`. */
export function shareText({ percentage }: Pick<Fault, "percentage">): string {
  return `${percentage ?? 100} %`;
}

/** `2026-11-22 10:02:13`. */
export function endText({ fault }: Pick<ActiveFault, "fault">): string {
  return fault?.expireTime === undefined ? "" : showTime(timestampMs(fault.expireTime));
}
