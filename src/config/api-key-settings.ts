import type { ApiKeyConfig } from "../../gen/retake/v1/api_key_config_pb.js";

export interface ResolvedApiKeys {
  /** Whether a first start makes one of level ADMIN. */
  readonly bootstrap: boolean;
}

/** Absent where the server takes no keys. */
export function resolveApiKeys(config: ApiKeyConfig | undefined): ResolvedApiKeys | undefined {
  return config?.disabled === true ? undefined : { bootstrap: config?.bootstrap ?? true };
}
