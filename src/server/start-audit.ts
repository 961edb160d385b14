import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Clock, RandomSource } from "../clock.ts";
import type { ResolvedConfig } from "../config/index.ts";
import type { Journal, Logger } from "../runs/index.ts";
import {
  type AuditEcho,
  AuditLog,
  type AuditSink,
  AuditThread,
  createTextRedactor,
  MemoryAuditStore,
  type OtlpAuditSink,
  readKeyFile,
  type TextRedactorOptions,
} from "../security/index.ts";
import { isAuditNoted, noteAudit } from "./audit-note.ts";
import { auditFolder, auditKeyFile } from "./security-files.ts";

export interface StartAuditOptions {
  readonly config: ResolvedConfig;
  readonly redaction: TextRedactorOptions;
  /** Whether the server keeps nothing in its data directory. */
  readonly inMemory: boolean;
  /** Knows whether there has been a log. */
  readonly journal: Pick<Journal, "append" | "read">;
  readonly sinks: readonly AuditSink[];
  /** Who exports the log, where it is exported. */
  readonly exported?: OtlpAuditSink | undefined;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly log: Logger;
}

export interface StartedAudit {
  readonly log: AuditLog;
  /** Resolves when the journal knows of the log, or cannot. The log is closed after that, and the journal after the log. */
  readonly noted: Promise<void>;
}

/** The audit log of a server; undefined where none is to be kept. @throws KeyFileError */
export async function startAudit(options: StartAuditOptions): Promise<StartedAudit | undefined> {
  const { config, redaction, inMemory, sinks, exported, clock, log } = options;
  const { audit } = config.security;
  if (audit === undefined) return undefined;
  const { store, noted } = inMemory
    ? { store: new MemoryAuditStore(createTextRedactor(redaction), echoOf(options)), noted: Promise.resolve() }
    : await openFiles(audit, options);
  return { log: new AuditLog({ ...audit, store, sinks, exported, clock, log }), noted };
}

async function openFiles(
  { maxAgeMs, maxBytes, fileBytes, file }: NonNullable<ResolvedConfig["security"]["audit"]>,
  options: StartAuditOptions,
): Promise<{ readonly store: AuditThread; readonly noted: Promise<void> }> {
  const { config, redaction, journal, clock, random, log } = options;
  const key = Uint8Array.from(signingKey(config, random));
  const expected = await isAuditNoted(journal);
  const thread = new AuditThread({
    directory: join(config.dataDirectory, auditFolder),
    ...{ key, expected, redaction, maxAgeMs, maxBytes, fileBytes, copy: file, echo: echoOf(options) },
  });
  // A first start need not wait for it: a thread takes as long to begin as all else.
  return { store: thread, noted: expected ? Promise.resolve() : begin(thread, journal, clock, log) };
}

function echoOf({ sinks, exported }: StartAuditOptions): AuditEcho {
  return { lines: sinks.length > 0, otlp: exported !== undefined };
}

async function begin(thread: AuditThread, journal: Pick<Journal, "append">, clock: Clock, log: Logger): Promise<void> {
  try {
    // In this order: a crash in between must not leave a note of what has never been.
    await thread.open();
    await noteAudit(journal, clock);
  } catch (err) {
    log.warn({ err }, "the audit log cannot be begun yet; the next start notes that there is one");
  }
}

function signingKey(config: ResolvedConfig, random: RandomSource): Buffer {
  const log = join(config.dataDirectory, auditFolder);
  const signed = existsSync(join(log, "head.json"));
  const missing = `it signs the checkpoints of the audit log in ${log}; bring it back, or move that folder away to begin another log`;
  return readKeyFile(auditKeyFile(config), random, signed ? missing : undefined);
}
