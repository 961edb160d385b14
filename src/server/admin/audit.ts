import { create } from "@bufbuild/protobuf";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import type { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import {
  type AuditFilter,
  AuditOutcome,
  ListAuditRecordsRequestSchema,
  type SecurityReport,
  SecurityReportSchema,
} from "../../../gen/retake/v1/audit_pb.js";
import { createError, msFromTimestamp, timestampFromMs } from "../../runs/index.ts";
import type { AuditLog, AuditQuery, AuditTally } from "../../security/index.ts";
import type { Engine } from "../engine.ts";
import { createPageToken, pageScope, parsePageToken } from "../page-token.ts";

const defaultPage = 100;
const dayMs = 86_400_000;
/** Subjects, and kinds of denied access, that a report names. */
const mostNamed = 100;

type AuditAdmin = Pick<ServiceImpl<typeof AdminService>, "listAuditRecords" | "getSecurityReport">;

/** What the audit log says. */
export function createAuditAdmin({ auditLog, redactor, clock }: Engine): AuditAdmin {
  return {
    async listAuditRecords({ pageSize, pageToken, filter, oldestFirst }) {
      const log = assertLog(auditLog);
      const scope = pageScope(
        ListAuditRecordsRequestSchema,
        create(ListAuditRecordsRequestSchema, { ...(filter && { filter }), oldestFirst }),
      );
      const from = pageToken === "" ? undefined : Number(parsePageToken(pageToken, scope));
      const { records, next } = await log.list(queryOf(filter, redactor.text), {
        oldestFirst,
        limit: pageSize || defaultPage,
        ...(from === undefined ? {} : { from }),
      });
      return { records, nextPageToken: next === undefined ? "" : createPageToken(next, scope) };
    },

    async getSecurityReport({ since, until }, { signal }) {
      const log = assertLog(auditLog);
      const untilMs = until === undefined ? clock.now() + 1 : msFromTimestamp(until);
      const sinceMs = since === undefined ? untilMs - dayMs : msFromTimestamp(since);
      if (sinceMs >= untilMs) {
        throw createError(Code.InvalidArgument, "INVALID_TIME", "since must be before until");
      }
      return { report: await securityReport(log, sinceMs, untilMs, signal) };
    },
  };
}

/** What the log says about a time. */
export async function securityReport(
  log: Pick<AuditLog, "tally">,
  sinceMs: number,
  untilMs: number,
  signal: AbortSignal,
): Promise<SecurityReport> {
  return reportOf(await log.tally(sinceMs, untilMs, signal), sinceMs, untilMs);
}

function assertLog(log: AuditLog | undefined): AuditLog {
  if (log === undefined) {
    throw createError(
      Code.FailedPrecondition,
      "NO_AUDIT",
      "this server keeps no audit log: its configuration says so (security.audit.disabled)",
    );
  }
  return log;
}

/** @param pseudonym what stands in the log for personal data */
function queryOf(filter: AuditFilter | undefined, pseudonym: (text: string) => string): AuditQuery {
  if (filter === undefined) return {};
  const { since, until, subject, tenant, action, resource, outcomes } = filter;
  return {
    ...(since === undefined ? {} : { sinceMs: msFromTimestamp(since) }),
    ...(until === undefined ? {} : { untilMs: msFromTimestamp(until) }),
    ...(subject === "" ? {} : { subject: pseudonym(subject) }),
    ...(tenant === "" ? {} : { tenant: pseudonym(tenant) }),
    ...(action === "" ? {} : { action }),
    ...(resource === "" ? {} : { resource: pseudonym(resource) }),
    ...(outcomes.length === 0 ? {} : { outcomes: outcomes.map(outcomeName) }),
  };
}

function outcomeName(outcome: AuditOutcome) {
  return `AUDIT_OUTCOME_${AuditOutcome[outcome]}` as NonNullable<AuditQuery["outcomes"]>[number];
}

function reportOf(tally: AuditTally, sinceMs: number, untilMs: number): SecurityReport {
  const actions = [...tally.actions].map(([key, count]) => {
    const [action, outcome] = JSON.parse(key) as [string, string];
    const name = outcome.replace("AUDIT_OUTCOME_", "") as keyof typeof AuditOutcome;
    return { action, outcome: AuditOutcome[name], count: BigInt(count) };
  });
  const subjects = [...tally.subjects].map(([key, counts]) => {
    const [tenant, subject] = JSON.parse(key) as [string, string];
    return { tenant, subject, ...counts, all: counts.granted + counts.denied + counts.failed };
  });
  const denied = [...tally.deniedAccess].map(([key, { count, lastMs }]) => {
    const [reason, resource, source] = JSON.parse(key) as [string, string, string];
    return { reason, resource, source, count, lastMs };
  });
  return create(SecurityReportSchema, {
    since: timestampFromMs(sinceMs),
    until: timestampFromMs(untilMs),
    events: BigInt(tally.events),
    denied: BigInt(tally.denied),
    lockouts: BigInt(tally.lockouts),
    lost: BigInt(tally.lost),
    truncated: tally.truncated || subjects.length > mostNamed || denied.length > mostNamed,
    actions: actions.sort((a, b) => (a.action < b.action ? -1 : a.action > b.action ? 1 : a.outcome - b.outcome)),
    subjects: subjects
      .sort((a, b) => b.all - a.all)
      .slice(0, mostNamed)
      .map(({ tenant, subject, granted, denied: refused, failed }) => ({
        ...{ tenant, subject },
        ...{ granted: BigInt(granted), denied: BigInt(refused), failed: BigInt(failed) },
      })),
    deniedAccess: denied
      .sort((a, b) => b.count - a.count)
      .slice(0, mostNamed)
      .map(({ reason, resource, source, count, lastMs }) => ({
        ...{ reason, resource, source },
        ...{ count: BigInt(count), lastTime: timestampFromMs(lastMs) },
      })),
  });
}
