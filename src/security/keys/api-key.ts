import type { ApiKeyCreated, ApiKeyEvent } from "../../../gen/retake/v1/api_key_pb.js";
import { ApiKeyState } from "../../../gen/retake/v1/api_key_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { Clock } from "../../clock.ts";
import { msFromTimestamp } from "../../runs/index.ts";
import type { Principal } from "../principal.ts";

/** A key as the journal has it: its stream so far. */
export class ApiKeyRecord {
  readonly id: string;
  readonly digest: Uint8Array;
  readonly label: string;
  readonly createdMs: number;
  readonly createdBy: string;
  readonly replaces: string;
  /** Who shows it. */
  readonly principal: Principal;
  /** When it ends by itself; absent for never. */
  readonly expiresMs: number | undefined;
  /** The number of its newest event. */
  sequence = 1;
  replacedBy = "";
  revoked: { readonly atMs: number; readonly by: string; readonly reason: string } | undefined;
  /** It is taken before this time, and refused from then on. */
  usableUntilMs: number;
  lastUsedMs = 0;

  constructor(id: string, createdMs: number, created: ApiKeyCreated, clock: Pick<Clock, "now">) {
    this.id = id;
    this.digest = created.digest;
    this.label = created.label;
    this.createdMs = createdMs;
    this.createdBy = created.requestedBy;
    this.replaces = created.replaces;
    this.expiresMs = created.expireTime && msFromTimestamp(created.expireTime);
    this.usableUntilMs = this.expiresMs ?? Number.POSITIVE_INFINITY;
    this.principal = {
      tenant: created.tenant,
      subject: created.subject,
      level: created.level,
      groups: created.groups,
      authentication: "api_key",
      credential: id,
      isCurrent: () => clock.now() < this.usableUntilMs,
      ...(created.workflows.length > 0 && { workflows: new Set(created.workflows) }),
    };
  }

  apply({ event, time }: ApiKeyEvent): void {
    this.sequence++;
    if (event.case === "rotated") {
      this.replacedBy = event.value.replacedBy;
      this.usableUntilMs = Math.min(this.usableUntilMs, msFromTimestamp(event.value.overlapEndTime));
    } else if (event.case === "revoked") {
      this.revoked = { atMs: msFromTimestamp(time), by: event.value.requestedBy, reason: event.value.reason };
      this.usableUntilMs = 0;
    }
  }

  state(nowMs: number): ApiKeyState {
    if (this.revoked !== undefined) return ApiKeyState.REVOKED;
    if (nowMs >= this.usableUntilMs) return ApiKeyState.EXPIRED;
    return this.replacedBy === "" ? ApiKeyState.ACTIVE : ApiKeyState.ROTATING;
  }

  /** Since when it has been refused; undefined while it is taken. */
  endedMs(nowMs: number): number | undefined {
    if (nowMs < this.usableUntilMs) return undefined;
    return this.revoked?.atMs ?? this.usableUntilMs;
  }

  /** Whether it can be relied on to do everything: one that is being replaced is about to go. */
  isAdmin(nowMs: number): boolean {
    const { level, workflows } = this.principal;
    return level === AccessLevel.ADMIN && workflows === undefined && this.state(nowMs) === ApiKeyState.ACTIVE;
  }
}
