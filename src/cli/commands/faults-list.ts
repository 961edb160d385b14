import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { type ActiveFault, ActiveFaultSchema } from "../../../gen/retake/v1/fault_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { effectText, endText, shareText } from "../display/fault-text.ts";
import { plainText } from "../display/plain-text.ts";
import { type Column, tableLines } from "../display/table.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const faultsList: Command = {
  description: "Lists the drills that go on: what is done on purpose to attempts, to how many of them, and until when.",
  positionals: [],
  flags: {},
  examples: [["retake faults list", "What of the trouble is a drill"]],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const { faults } = await retake.client(AdminService).listFaults({}, { signal: io.signal });
    if (given.has("json")) {
      const contracts = new Contracts(retake, io.signal);
      for (const fault of faults) {
        writeLines(io.stdout, JSON.stringify(await messageJson(ActiveFaultSchema, fault, contracts)));
      }
    } else if (faults.length === 0) {
      writeLines(io.stderr, "There are no drills.");
    } else {
      writeLines(io.stdout, ...tableLines(columns, faults, io.isTTY ? io.columns : Number.POSITIVE_INFINITY));
    }
    return ExitCode.ok;
  },
};

const columns: readonly Column<ActiveFault>[] = [
  // Whole, so that it can be copied.
  { title: "FAULT", cell: ({ faultId }) => plainText(faultId) },
  { title: "WORKFLOW", cell: ({ fault }) => fault?.workflow ?? "", keep: "end" },
  { title: "SHARE", cell: ({ fault }) => (fault === undefined ? "" : shareText(fault)) },
  { title: "EFFECT", cell: ({ fault }) => (fault === undefined ? "" : effectText(fault)), keep: "start" },
  { title: "HITS", cell: ({ hits }) => String(hits) },
  { title: "UNTIL", cell: endText },
  { title: "BY", cell: ({ injectedBy }) => plainText(injectedBy) || "the configuration", keep: "start", spare: 2 },
  { title: "REASON", cell: ({ fault }) => plainText(fault?.reason ?? ""), keep: "start", spare: 1 },
];
