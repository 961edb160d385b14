import { type ConnectError, createContextKey } from "@connectrpc/connect";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";

/** The identity behind a call. */
export interface Principal {
  readonly tenant: string;
  readonly subject: string;
  readonly level: AccessLevel;
  /** Those it is in, as its credentials and the configuration say. */
  readonly groups: readonly string[];
  /** How it showed who it is. */
  readonly authentication: Authentication;
  /** Which credential it showed, where there can be several for one subject: a key's id. Never the credential itself. */
  readonly credential?: string;
  /** The workflows that its credentials are limited to. Absent: all. */
  readonly workflows?: ReadonlySet<string>;
  /** The methods that access rules let it call, whatever its level and groups are. Absent: none. */
  readonly permissions?: ReadonlySet<string>;
  /** Whether what it showed holds still: not revoked, not expired. Absent: as long as the call. */
  readonly isCurrent?: () => boolean;
}

export type Authentication = "none" | "in_process" | "api_key" | "jwt" | "mtls";

/** A caller without credentials. */
export const anonymous: Principal = {
  tenant: "default",
  subject: "anonymous",
  level: AccessLevel.PUBLIC,
  groups: [],
  authentication: "none",
};

/** Code that calls the server within its own process: it could do everything anyway. */
export const inProcess: Principal = {
  tenant: "default",
  subject: "in-process",
  level: AccessLevel.ADMIN,
  groups: [],
  authentication: "in_process",
};

/** Context value with the principal of a call. */
export const principalKey = createContextKey<Principal>(anonymous, { description: "principal" });

/**
 * Context value by which an implementation says what has to hold for its stream to go on, besides the credentials of the
 * call: what it is given tells what to end it with, once it does not.
 */
export const goesOnWhileKey = createContextKey<(problem: () => ConnectError | undefined) => void>(() => undefined, {
  description: "what a stream goes on with",
});
