import { timestampMs } from "@bufbuild/protobuf/wkt";
import { AuditOutcome, type AuditRecord } from "../../../gen/retake/v1/audit_pb.js";
import { lineOfRecord } from "../../security/index.ts";
import { auditFilterFlags, auditRecords, parseAuditFilter } from "../audit-filter.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { plainText } from "../display/plain-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { parseLimit } from "../parse-limit.ts";

const defaultLimit = 20;

export const auditList: Command = {
  description: "Lists what was done, or not let be done, and by whom, the newest first. Filters are joined by “and”.",
  positionals: [],
  flags: {
    ...auditFilterFlags,
    limit: { short: "n", value: "N", description: `How many at most, or all. Default: ${defaultLimit}` },
  },
  examples: [
    ["retake audit list --outcome denied --since 1h", "Who was refused within the last hour"],
    ['retake audit list --action "key.*" --limit all', "Everything that was done to keys"],
  ],
  async run(given, io) {
    const limit = parseLimit(given.value("limit") ?? String(defaultLimit), "records");
    const filter = parseAuditFilter(given, io);
    using connection = await connect(given, io);
    const records: AuditRecord[] = [];
    const json = given.has("json");
    const pageSize = Math.min(limit, 1000);
    let count = 0;
    for await (const record of auditRecords(connection.retake, filter, {
      ...{ oldestFirst: false, pageSize, signal: io.signal },
    })) {
      if (json) writeLines(io.stdout, lineOfRecord(record));
      else records.push(record);
      if (++count === limit) break;
    }
    if (json) return ExitCode.ok;
    if (records.length === 0) writeLines(io.stderr, "No records match.");
    else writeLines(io.stdout, ...tableLines(columns, records, io.isTTY ? io.columns : Number.POSITIVE_INFINITY));
    return ExitCode.ok;
  },
};

const columns: readonly Column<AuditRecord>[] = [
  { title: "TIME", cell: ({ time }) => (time === undefined ? "" : new Date(timestampMs(time)).toISOString()) },
  { title: "WHO", cell: ({ subject }) => plainText(subject), keep: "start" },
  { title: "WHAT", cell: ({ action }) => plainText(action) },
  { title: "OUTCOME", cell: outcomeText },
  { title: "TO", cell: ({ resource }) => plainText(resource), keep: "end" },
  { title: "FROM", cell: ({ source }) => plainText(source), keep: "start", spare: 1 },
  { title: "MORE", cell: detailsText, keep: "start", spare: 2 },
];

function outcomeText({ outcome, count }: AuditRecord): string {
  const text = (AuditOutcome[outcome] ?? "").toLowerCase();
  return count > 1n ? `${text} ×${count}` : text;
}

function detailsText({ reason, details }: AuditRecord): string {
  const texts = Object.entries(details).map(([name, text]) => `${name}=${text}`);
  return plainText([...(reason === "" ? [] : [reason]), ...texts].join(" "));
}
