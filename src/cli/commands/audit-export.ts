import { lineOfRecord } from "../../security/index.ts";
import { auditFilterFlags, auditRecords, parseAuditFilter } from "../audit-filter.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";

export const auditExport: Command = {
  description: [
    "Writes records of the audit log as JSON lines, the oldest first, byte for byte as the log has them: without a filter",
    "by anything but time, `retake audit verify FILE` can tell whether they are as they were written.",
  ].join(" "),
  positionals: [],
  flags: auditFilterFlags,
  examples: [
    ["retake audit export > audit.jsonl", "Everything, for an archive"],
    ["retake audit export --since 2026-11-01 --before 2026-12-01 > november.jsonl", "A month of it"],
  ],
  async run(given, io) {
    const filter = parseAuditFilter(given, io);
    using connection = await connect(given, io);
    const { signal } = io;
    for await (const record of auditRecords(connection.retake, filter, { oldestFirst: true, pageSize: 1000, signal })) {
      writeLines(io.stdout, lineOfRecord(record));
    }
    return ExitCode.ok;
  },
};
