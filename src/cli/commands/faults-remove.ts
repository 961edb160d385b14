import { AdminService } from "../../../gen/retake/v1/admin_service_pb.js";
import { ActiveFaultSchema } from "../../../gen/retake/v1/fault_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { counted } from "../display/event-text.ts";
import { ExitCode } from "../exit-code.ts";
import { writeLines } from "../io.ts";
import { messageJson } from "../message-json.ts";

export const faultsRemove: Command = {
  description: "Ends a drill before its time. Attempts that it delays or stalls go on.",
  positionals: [{ name: "FAULT", description: "its id, from retake faults list" }],
  flags: {},
  examples: [["retake faults remove 01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88", "End one"]],
  async run(given, io) {
    using connection = await connect(given, io);
    const { retake } = connection;
    const faultId = given.positional("FAULT");
    const { fault } = await retake.client(AdminService).removeFault({ faultId }, { signal: io.signal });
    if (given.has("json") && fault !== undefined) {
      const json = await messageJson(ActiveFaultSchema, fault, new Contracts(retake, io.signal));
      writeLines(io.stdout, JSON.stringify(json));
    } else {
      writeLines(io.stdout, `${faultId} is over: it has hit ${counted(Number(fault?.hits ?? 0), "attempt")}`);
    }
    return ExitCode.ok;
  },
};
