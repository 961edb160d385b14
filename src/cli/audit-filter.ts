import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { type AuditFilter, AuditFilterSchema, AuditOutcome, type AuditRecord } from "../../gen/retake/v1/audit_pb.js";
import type { RetakeClient } from "../client/index.ts";
import type { Arguments } from "./arguments.ts";
import { UsageError } from "./cli-error.ts";
import type { Flags } from "./command.ts";
import type { CliIo } from "./io.ts";
import { parseTime } from "./parse-time.ts";

/** Which records are meant. */
export const auditFilterFlags: Flags = {
  since: { value: "TIME", description: "Only those made since: 2h (so long ago), 2026-11-22, 2026-11-22T10:00" },
  before: { value: "TIME", description: "Only those made before" },
  subject: { value: "SUBJECT", description: "Only what this subject did" },
  tenant: { value: "TENANT", description: "Only what subjects of this tenant did" },
  action: { value: "ACTION", description: 'Only this: run.start, or "run.*" for all that begin with "run."' },
  resource: { value: "NAME", description: "Only what was done to this: a workflow, the id of a run or a key" },
  outcome: { value: "OUTCOME", multiple: true, description: "Only what was granted, denied, or failed" },
};

/** @throws UsageError */
export function parseAuditFilter(given: Arguments, io: CliIo): AuditFilter {
  const time = (flag: "since" | "before") => {
    const text = given.value(flag);
    return text === undefined ? undefined : timestampFromMs(Math.round(parseTime(`--${flag}`, text, io.clock.now())));
  };
  const since = time("since");
  const until = time("before");
  return create(AuditFilterSchema, {
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    subject: given.value("subject") ?? "",
    tenant: given.value("tenant") ?? "",
    action: given.value("action") ?? "",
    resource: given.value("resource") ?? "",
    outcomes: [...new Set(given.values("outcome").map(parseOutcome))],
  });
}

/** The records that a server finds, page by page. */
export async function* auditRecords(
  retake: RetakeClient,
  filter: AuditFilter,
  options: { readonly oldestFirst: boolean; readonly pageSize: number; readonly signal: AbortSignal },
): AsyncGenerator<AuditRecord> {
  const admin = retake.client(AdminService);
  const { oldestFirst, pageSize, signal } = options;
  for (let pageToken = ""; ; ) {
    const page = await admin.listAuditRecords({ filter, oldestFirst, pageSize, pageToken }, { signal });
    yield* page.records;
    pageToken = page.nextPageToken;
    if (pageToken === "") return;
  }
}

function parseOutcome(text: string): AuditOutcome {
  const outcome = AuditOutcome[text.toUpperCase() as keyof typeof AuditOutcome];
  if (!outcome) throw new UsageError(`--outcome: "${text}" is none: there are granted, denied and failed`);
  return outcome;
}
