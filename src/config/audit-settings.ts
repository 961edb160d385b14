import type { Duration } from "@bufbuild/protobuf/wkt";
import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  type AuditConfig,
  AuditFailureMode,
  type PayloadEncryptionConfig,
  PersonalData,
  type RedactionConfig,
} from "../../gen/retake/v1/audit_config_pb.js";

/** An `AuditConfig` with every default filled in. */
export interface ResolvedAudit {
  readonly except: readonly string[];
  readonly reads: boolean;
  /** Empty for no copy. */
  readonly file: string;
  readonly maxAgeMs: number;
  readonly maxBytes: number;
  readonly fileBytes: number;
  readonly maxDelayMs: number;
  readonly maxWaiting: number;
  readonly refuseOnFailure: boolean;
  /** Absent for the one in the data directory. */
  readonly keyFile?: string;
}

export interface ResolvedRedaction {
  readonly personalData: "keep" | "pseudonymize" | "redact";
  readonly keepAddresses: readonly string[];
  /** Absent for the one in the data directory. */
  readonly keyFile?: string;
}

export interface ResolvedPayloadEncryption {
  /** All payloads, not only those with marked fields. */
  readonly all: boolean;
  /** Absent for the one in the data directory. */
  readonly keyFile?: string;
}

const megabyte = 1024 * 1024;

/** Absent where no audit log is kept. */
export function resolveAudit(config: AuditConfig | undefined): ResolvedAudit | undefined {
  if (config?.disabled === true) return undefined;
  const retention = config?.retention;
  return {
    except: config?.except ?? [],
    reads: config?.reads ?? false,
    file: config?.file ?? "",
    maxAgeMs: msOr(retention?.maxAge, 90 * 86_400_000),
    maxBytes: (retention?.maxMegabytes ?? 4096) * megabyte,
    fileBytes: (retention?.fileMegabytes ?? 8) * megabyte,
    maxDelayMs: msOr(config?.maxDelay, 1_000),
    maxWaiting: config?.maxWaiting ?? 65_536,
    refuseOnFailure: config?.onFailure === AuditFailureMode.REFUSE,
    ...keyFileOf(config),
  };
}

export function resolveRedaction(config: RedactionConfig | undefined): ResolvedRedaction {
  return {
    personalData: personalDataOf(config?.personalData),
    keepAddresses: config?.keepAddresses ?? [],
    ...keyFileOf(config),
  };
}

export function resolvePayloadEncryption(config: PayloadEncryptionConfig | undefined): ResolvedPayloadEncryption {
  return { all: config?.all ?? false, ...keyFileOf(config) };
}

function personalDataOf(given: PersonalData | undefined): ResolvedRedaction["personalData"] {
  switch (given) {
    case PersonalData.KEEP:
      return "keep";
    case PersonalData.REDACT:
      return "redact";
    default:
      return "pseudonymize";
  }
}

function keyFileOf(config: { readonly keyFile: string } | undefined): { readonly keyFile?: string } {
  return config === undefined || config.keyFile === "" ? {} : { keyFile: config.keyFile };
}

function msOr(duration: Duration | undefined, otherwise: number): number {
  return duration === undefined ? otherwise : durationMs(duration);
}
