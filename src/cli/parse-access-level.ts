import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { UsageError } from "./cli-error.ts";

const levels = [AccessLevel.AUTHENTICATED, AccessLevel.PRIVILEGED, AccessLevel.ADMIN] as const;

/** A level that a key can have, by its name in capitals or not. @throws UsageError naming the flag */
export function parseAccessLevel(flag: string, text: string): AccessLevel {
  const level = levels.find((each) => AccessLevel[each] === text.toUpperCase());
  if (level !== undefined) return level;
  const names = levels.map((each) => AccessLevel[each]).join(", ");
  throw new UsageError(`${flag}: "${text}" is no level of a key; there are ${names}`);
}
