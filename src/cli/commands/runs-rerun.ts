import { create } from "@bufbuild/protobuf";
import { RunSchema } from "../../../gen/retake/v1/run_pb.js";
import type { Command } from "../command.ts";
import { connect } from "../connection.ts";
import { Contracts } from "../contracts.ts";
import { followFlags } from "../follow-run.ts";
import { parseRunId, runIdPositional } from "../run-id.ts";
import { planFollowing, tellStarted } from "../started-run.ts";

export const runsRerun: Command = {
  description:
    "Starts a new run with the input of one that has ended, and prints its id. Steps that were done are kept.",
  positionals: [runIdPositional],
  flags: {
    key: { short: "k", value: "KEY", description: "Idempotency key: the same call again joins the new run" },
    "discard-steps": { description: "Execute every step again" },
    watch: { short: "w", description: "Follow the run to its end" },
    ...followFlags,
  },
  examples: [["retake runs rerun 01936b2c-8a4e-7f31-9d05-6c1e2b7a4f88 --watch", "Try again, and see how it goes"]],
  async run(given, io) {
    const runId = parseRunId(given.positional("RUN_ID"));
    const following = await planFollowing(given);
    using connection = await connect(given, io);
    const { retake } = connection;
    const request = { runId, idempotencyKey: given.value("key") ?? "", discardSteps: given.has("discard-steps") };
    const { run = create(RunSchema) } = await retake.runs.rerunRun(request, { signal: io.signal });
    const contracts = new Contracts(retake, io.signal);
    return await tellStarted({ run, joined: false, connection, contracts, following }, io);
  },
};
