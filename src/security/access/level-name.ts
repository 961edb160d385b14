import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";

/** A level as people know it: "PRIVILEGED". */
export function levelName(level: AccessLevel): string {
  return AccessLevel[level] ?? String(level);
}
