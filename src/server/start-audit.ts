import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Clock, RandomSource } from "../clock.ts";
import type { ResolvedConfig } from "../config/index.ts";
import type { Logger } from "../runs/index.ts";
import {
  AuditLog,
  type AuditSink,
  AuditThread,
  createTextRedactor,
  MemoryAuditStore,
  readKeyFile,
  type TextRedactorOptions,
} from "../security/index.ts";
import { auditFolder, auditKeyFile } from "./security-files.ts";

export interface StartAuditOptions {
  readonly config: ResolvedConfig;
  readonly redaction: TextRedactorOptions;
  /** Whether the server keeps nothing in its data directory. */
  readonly inMemory: boolean;
  readonly sinks: readonly AuditSink[];
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
}

/** The audit log of a server; undefined where none is to be kept. @throws KeyFileError */
export function startAudit(options: StartAuditOptions): AuditLog | undefined {
  const { config, redaction, inMemory, sinks, clock, random, log } = options;
  const { audit } = config.security;
  if (audit === undefined) return undefined;
  const store = inMemory
    ? new MemoryAuditStore(createTextRedactor(redaction))
    : new AuditThread({
        directory: join(config.dataDirectory, auditFolder),
        key: Uint8Array.from(signingKey(config, random)),
        redaction,
        maxAgeMs: audit.maxAgeMs,
        maxBytes: audit.maxBytes,
        fileBytes: audit.fileBytes,
        copy: audit.file,
        echo: sinks.length > 0,
      });
  return new AuditLog({ ...audit, store, sinks, clock, log });
}

function signingKey(config: ResolvedConfig, random: RandomSource): Buffer {
  const log = join(config.dataDirectory, auditFolder);
  const signed = existsSync(join(log, "head.json"));
  const missing = `it signs the checkpoints of the audit log in ${log}; bring it back, or move that folder away to begin another log`;
  return readKeyFile(auditKeyFile(config), random, signed ? missing : undefined);
}
