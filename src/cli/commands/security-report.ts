import { toJsonString } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import {
  type ActionCount,
  AuditOutcome,
  type DeniedAccess,
  type SecurityReport,
  SecurityReportSchema,
  type SubjectCount,
} from "../../../gen/retake/v1/audit_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { plainText } from "../display/plain-text.ts";
import { showCount } from "../display/sizes.ts";
import { type Column, tableLines } from "../display/table.ts";
import { ExitCode } from "../exit-code.ts";
import { type CliIo, writeLines } from "../io.ts";
import { parseTime } from "../parse-time.ts";

export const securityReport: Command = {
  description:
    "Sums up what the audit log says about a time: what was done by whom, what was denied, who was locked out.",
  positionals: [],
  flags: {
    since: {
      value: "TIME",
      description: "From this time on: 2h (so long ago), 2026-11-22. Default: a day before the end",
    },
    before: { value: "TIME", description: "Up to this time. Default: now" },
  },
  examples: [
    ["retake security report", "The last day"],
    ["retake security report --since 7d --json", "The last week, for a script"],
  ],
  async run(given, io) {
    const time = (flag: "since" | "before") => {
      const text = given.value(flag);
      return text === undefined ? undefined : timestampFromMs(Math.round(parseTime(`--${flag}`, text, io.clock.now())));
    };
    const since = time("since");
    const until = time("before");
    using connection = await connect(given, io);
    const { report } = await connection.retake
      .client(AdminService)
      .getSecurityReport({ ...(since && { since }), ...(until && { until }) }, { signal: io.signal });
    if (report === undefined) return ExitCode.ok;
    if (given.has("json")) writeLines(io.stdout, toJsonString(SecurityReportSchema, report));
    else show(report, io);
    return ExitCode.ok;
  },
};

function show(report: SecurityReport, io: CliIo): void {
  const { since, until, events, denied, lockouts, lost, actions, subjects, deniedAccess } = report;
  const width = io.isTTY ? io.columns : Number.POSITIVE_INFINITY;
  writeLines(
    io.stdout,
    `${timeText(since)} to ${timeText(until)}: ${showCount(events, "event")}, ${denied} denied, ${showCount(lockouts, "lock-out")}`,
  );
  if (lost > 0n) writeLines(io.stdout, `${showCount(lost, "event")} could not be recorded.`);
  if (actions.length > 0) writeLines(io.stdout, "", ...tableLines(actionColumns, actions, width));
  if (subjects.length > 0) writeLines(io.stdout, "", ...tableLines(subjectColumns, subjects, width));
  if (deniedAccess.length > 0) writeLines(io.stdout, "", ...tableLines(deniedColumns, deniedAccess, width));
  if (report.truncated) writeLines(io.stderr, "There were more; they are in the sums only.");
}

const actionColumns: readonly Column<ActionCount>[] = [
  { title: "WHAT", cell: ({ action }) => plainText(action) },
  { title: "OUTCOME", cell: ({ outcome }) => (AuditOutcome[outcome] ?? "").toLowerCase() },
  { title: "TIMES", cell: ({ count }) => String(count) },
];

const subjectColumns: readonly Column<SubjectCount>[] = [
  { title: "WHO", cell: ({ subject }) => plainText(subject), keep: "start" },
  { title: "TENANT", cell: ({ tenant }) => plainText(tenant), keep: "start", spare: 1 },
  { title: "GRANTED", cell: ({ granted }) => String(granted) },
  { title: "DENIED", cell: ({ denied }) => String(denied) },
  { title: "FAILED", cell: ({ failed }) => String(failed) },
];

const deniedColumns: readonly Column<DeniedAccess>[] = [
  { title: "DENIED", cell: ({ reason }) => plainText(reason) },
  { title: "TO", cell: ({ resource }) => plainText(resource), keep: "end" },
  { title: "FROM", cell: ({ source }) => plainText(source), keep: "start", spare: 1 },
  { title: "TIMES", cell: ({ count }) => String(count) },
  { title: "LAST", cell: ({ lastTime }) => timeText(lastTime), spare: 2 },
];

function timeText(time: SecurityReport["since"]): string {
  return time === undefined ? "" : new Date(timestampMs(time)).toISOString().slice(0, 19).concat("Z");
}
