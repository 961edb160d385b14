import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { AuditFiles, type AuditFilesOptions } from "../../../src/security/audit/audit-files.ts";
import { encodeEntry } from "../../../src/security/audit/encode-entry.ts";
import type { AuditEvent, Principal } from "../../../src/security/index.ts";
import { createTextRedactor } from "../../../src/security/redaction/index.ts";

export const key = new Uint8Array(32).fill(7);
export const redactor = createTextRedactor({ personalData: "pseudonymize", key });

export const alice: Principal = {
  tenant: "default",
  subject: "alice",
  level: AccessLevel.PRIVILEGED,
  groups: [],
  authentication: "api_key",
  credential: "k1",
};

export function event(given: Partial<AuditEvent> = {}): AuditEvent {
  return {
    action: "run.start",
    outcome: "granted",
    principal: alice,
    resource: "a.v1.A/Do",
    source: "127.0.0.1:4000",
    ...given,
  };
}

/** So many events as a batch. */
export function batch(count: number, timeMs = 0, given: Partial<AuditEvent> = {}): string {
  return Array.from({ length: count }, (_, index) =>
    encodeEntry(event({ details: { run: `run-${index}` }, ...given }), timeMs + index, 1),
  ).join("\n");
}

export function openFiles(directory: string, given: Partial<AuditFilesOptions> = {}): AuditFiles {
  return new AuditFiles({
    ...{ directory, key, redactor, expected: false, maxAgeMs: 86_400_000, maxBytes: 1e9, fileBytes: 2_000, copy: "" },
    ...given,
  });
}
