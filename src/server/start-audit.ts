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
  NotedAudit,
  type OtlpAuditSink,
  readKeyFile,
  readNotes,
  type TextRedactorOptions,
} from "../security/index.ts";
import { auditFolder, auditKeyFile } from "./security-files.ts";

export interface StartAuditOptions {
  readonly config: ResolvedConfig;
  readonly redaction: TextRedactorOptions;
  /** Whether the server keeps nothing in its data directory. */
  readonly inMemory: boolean;
  /** Knows whether there has been a log, and how far it went. */
  readonly journal: Pick<Journal, "append" | "deleteStreams" | "listStreams" | "read">;
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
  const { config, redaction, inMemory, journal, sinks, exported, clock, random, log } = options;
  const { audit } = config.security;
  if (audit === undefined) return undefined;
  if (inMemory) {
    const store = new MemoryAuditStore(createTextRedactor(redaction), echoOf(options));
    return { log: new AuditLog({ ...audit, store, sinks, exported, clock, log }), noted: Promise.resolve() };
  }
  const key = Uint8Array.from(signingKey(config, random));
  const noted = await readNotes(journal);
  const { maxAgeMs, maxBytes, fileBytes, file: copy } = audit;
  const thread = new AuditThread({
    ...{ directory: join(config.dataDirectory, auditFolder), key, redaction, echo: echoOf(options) },
    ...{ expected: noted.expected, maxAgeMs, maxBytes, fileBytes, copy },
    ...(noted.note === undefined ? {} : { note: noted.note }),
  });
  const store = new NotedAudit({ store: thread, journal, noted, clock, log });
  const auditLog = new AuditLog({ ...audit, store, sinks, exported, clock, log });
  if (noted.expected) {
    auditLog.openSoon();
    return { log: auditLog, noted: Promise.resolve() };
  }
  // A first start need not wait for it: a thread takes as long to begin as all else.
  const begun = auditLog
    .open()
    .catch((err: unknown) =>
      log.warn({ err }, "the audit log cannot be begun yet; the next start notes that there is one"),
    );
  return { log: auditLog, noted: begun };
}

function echoOf({ sinks, exported }: StartAuditOptions): AuditEcho {
  return { lines: sinks.length > 0, otlp: exported !== undefined };
}

function signingKey(config: ResolvedConfig, random: RandomSource): Buffer {
  const log = join(config.dataDirectory, auditFolder);
  const signed = existsSync(join(log, "head.json"));
  const missing = `it signs the checkpoints of the audit log in ${log}; bring it back, or move that folder away to begin another log`;
  return readKeyFile(auditKeyFile(config), random, signed ? missing : undefined);
}
