import { access, constants } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { MonitoringService } from "../../../gen/retake/v1/monitoring_service_pb.js";
import { UsageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { ExitCode } from "../exit-code.ts";
import { parseDuration } from "../parse-time.ts";
import { writeWhole } from "../write-whole.ts";

const formats = ["html", "json"] as const;

export const report: Command = {
  description: [
    "Writes what the server says about a time: its health, what its runs did, what failed, what fired, what is on its way.",
    "As one page that needs nothing else, to be read and forwarded, or as JSON, to be compared. For administrators it says",
    "what the audit log says, too.",
  ].join(" "),
  positionals: [],
  flags: {
    html: { value: "FILE", description: "Write a page. A dash is standard output" },
    json: { value: "FILE", description: "Write protobuf JSON. A dash is standard output" },
    window: { value: "DURATION", description: "How far it looks back: 10m to 90d. Default: 24h" },
  },
  examples: [
    ["retake report --html report.html", "The last day, as a page"],
    ["retake report --window 7d --html week.html --json week.json", "The last week, as both"],
    ["retake report --json - | jq .execution.total", "For a script"],
  ],
  async run(given, io) {
    const files = formats.flatMap((format) => {
      const file = given.value(format);
      return file === undefined ? [] : [{ format, file }];
    });
    if (files.length === 0) throw new UsageError("where is it to go? --html FILE, --json FILE, or both");
    if (files.length === 2 && files[0]?.file === files[1]?.file) {
      throw new UsageError(`--html and --json are both to go to ${files[0]?.file}: two files are needed`);
    }
    const window = given.value("window");
    const windowMs = window === undefined ? undefined : parseDuration("--window", window);
    if (windowMs !== undefined && (windowMs < 600_000 || windowMs > 90 * 86_400_000)) {
      throw new UsageError(`--window ${window}: it must be 10m to 90d`);
    }
    for (const { format, file } of files) await assertWritable(`--${format}`, file);
    using connection = await connect(given, io);
    const { report: found } = await connection.retake
      .client(MonitoringService)
      .getReport({ ...(windowMs !== undefined && { window: durationFromMs(windowMs) }) }, { signal: io.signal });
    if (found === undefined) return ExitCode.ok;
    for (const { format, file } of files) {
      const { reportPage } = await import("../report/report-page.ts");
      const { reportJson } = await import("../report/report-json.ts");
      await writeWhole(file, format === "html" ? reportPage(found) : reportJson(found), io);
    }
    return ExitCode.ok;
  },
};

/** @throws UsageError before the server is asked for something that has nowhere to go */
async function assertWritable(flag: string, file: string): Promise<void> {
  if (file === "") throw new UsageError(`${flag}: the file's name is missing`);
  if (file === "-") return;
  const folder = dirname(resolve(file));
  await access(folder, constants.W_OK).catch((error: Error) => {
    throw new UsageError(`${flag}: ${folder} cannot be written to: ${error.message}`, { cause: error });
  });
}
