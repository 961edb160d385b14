import { createContextKey } from "@connectrpc/connect";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";

/** The identity behind a call. */
export interface Principal {
  readonly tenant: string;
  readonly subject: string;
  readonly level: AccessLevel;
}

/** A caller without credentials. */
export const anonymous: Principal = { tenant: "default", subject: "anonymous", level: AccessLevel.PUBLIC };

/** Context value with the principal of a call. */
export const principalKey = createContextKey<Principal>(anonymous, { description: "principal" });
