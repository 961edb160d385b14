import { create } from "@bufbuild/protobuf";
import type { ServerConfig } from "../../../gen/retake/v1/config_pb.js";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { SecurityConfigSchema } from "../../../gen/retake/v1/security_config_pb.js";
import { isLoopback } from "../../transport/index.ts";

/** A front listens where others than this machine may reach it. */
export interface OpenHost {
  readonly front: "grpc" | "web";
  readonly host: string;
}

/**
 * Makes whoever calls ADMIN, who can only be on this machine: nobody should have to think of access before there is
 * anything to protect. What the configuration says of callers without credentials stands, and where others can reach a
 * port nothing is changed; returns where that is.
 */
export function openToThisMachine(config: ServerConfig): OpenHost | undefined {
  if (config.security !== undefined && config.security.anonymousLevel !== AccessLevel.UNSPECIFIED) return undefined;
  for (const front of ["grpc", "web"] as const) {
    const { host = "", disabled = false } = config[front] ?? {};
    if (!disabled && host !== "" && !isLoopback(host.includes(":") ? `[${host}]` : host)) return { front, host };
  }
  config.security ??= create(SecurityConfigSchema);
  config.security.anonymousLevel = AccessLevel.ADMIN;
  return undefined;
}
