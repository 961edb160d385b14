import { type ApiKey, ApiKeyState } from "../../../gen/retake/v1/api_key_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { plainText } from "./plain-text.ts";
import { showDistance, showTime, timestampMs } from "./times.ts";

/** `active`, `rotating`, `revoked`, `expired`. */
export function apiKeyState({ state }: ApiKey): string {
  return ApiKeyState[state].toLowerCase();
}

/** When it ends, or has ended: `2027-01-01 00:00:00`; empty for never. */
export function apiKeyEnd({ expireTime, revokeTime }: ApiKey): string {
  const end = revokeTime ?? expireTime;
  return end === undefined ? "" : showTime(timestampMs(end));
}

export function apiKeyUse({ lastUseTime }: ApiKey, nowMs: number): string {
  return lastUseTime === undefined ? "never" : showDistance(timestampMs(lastUseTime), nowMs);
}

/** What a key is, a line each. */
export function apiKeyLines(key: ApiKey, nowMs: number): string[] {
  const rows: readonly (readonly [name: string, text: string])[] = [
    ["Key id", key.keyId],
    ["Subject", key.tenant === "default" ? key.subject : `${key.subject} of ${key.tenant}`],
    ["Level", AccessLevel[key.level]],
    ["Groups", key.groups.join(", ")],
    ["Workflows", key.workflows.join(", ")],
    ["Label", key.label],
    ["State", stateText(key, nowMs)],
    ["Made", key.createTime === undefined ? "" : `by ${key.createdBy}, ${showTime(timestampMs(key.createTime))}`],
    ["Replaces", key.replaces],
    ["Replaced by", key.replacedBy],
  ];
  return rows.filter(([, text]) => text !== "").map(([name, text]) => `${name.padEnd(12)}${plainText(text)}`);
}

function stateText(key: ApiKey, nowMs: number): string {
  const state = apiKeyState(key);
  if (key.state === ApiKeyState.REVOKED) {
    return `${state} by ${key.revokedBy}, ${apiKeyEnd(key)}${key.revokeReason === "" ? "" : `: ${key.revokeReason}`}`;
  }
  if (key.expireTime === undefined) return state;
  return `${state}, ${key.state === ApiKeyState.EXPIRED ? "ended" : "ends"} ${showDistance(timestampMs(key.expireTime), nowMs)}`;
}
